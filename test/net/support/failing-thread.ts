/** A net thread that does not come up. */
throw new Error('out of order');

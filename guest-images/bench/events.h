// Where things come from that the guest waits for: device drivers register here, the scheduler asks them.
#pragma once
#include "lib/types.h"

struct event_source {
  // Handles all that has arrived; false if nothing had.
  bool (*poll)(void *context);
  // Hands to the device what was queued since the last flush, with at most one notification, which may be
  // posted. May be null.
  void (*flush)(void *context);
  // Asks for an interrupt at the next arrival; false if something has arrived already.
  bool (*before_sleep)(void *context);
  void *context;
};

void events_add(struct event_source source);
bool events_poll(void);
void events_flush(void);
bool events_before_sleep(void);

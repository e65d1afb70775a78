/** What `bench snap` can measure. Apart from the rest, which takes long to load. */
export const SNAP_PARTS = ['downtime', 'work', 'cow', 'sizes', 'restore', 'incremental'] as const;
export type SnapPart = (typeof SNAP_PARTS)[number];

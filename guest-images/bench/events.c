#include "events.h"

#include "lib/fatal.h"

#define SOURCE_MAX 24

static struct event_source sources[SOURCE_MAX];
static u32 source_count;

void events_add(struct event_source source) {
  if (source_count == SOURCE_MAX) fatal("more than %u event sources", SOURCE_MAX);
  sources[source_count++] = source;
}

bool events_poll(void) {
  bool is_any = false;
  for (u32 i = 0; i < source_count; i++) is_any |= sources[i].poll(sources[i].context);
  return is_any;
}

void events_flush(void) {
  for (u32 i = 0; i < source_count; i++)
    if (sources[i].flush) sources[i].flush(sources[i].context);
}

bool events_before_sleep(void) {
  for (u32 i = 0; i < source_count; i++)
    if (!sources[i].before_sleep(sources[i].context)) return false;
  return true;
}

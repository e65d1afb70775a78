#include "virtio/queue.h"

#include "cpu/posted_write.h"
#include "lib/fatal.h"
#include "memory/memory.h"

#define DESCRIPTOR_NEXT 1
#define DESCRIPTOR_WRITE 2
#define DESCRIPTOR_INDIRECT 4
#define AVAILABLE_NO_INTERRUPT 1
#define USED_NO_NOTIFY 1

#define RING_ALIGNMENT 64

static u32 power_of_two_below(u32 value) {
  u32 power = 1;
  while (power * 2 <= value) power *= 2;
  return power;
}

void virtqueue_create(struct virtqueue *queue, const struct virtio_mmio *device, u32 number, u32 size_limit) {
  u32 size = power_of_two_below((u32)min_u64(size_limit, VIRTQUEUE_SIZE_MAX));
  *queue = (struct virtqueue){.device = device, .number = number, .size = size, .free_count = (u16)size};
  queue->descriptors = memory_take(size * sizeof(struct virtq_descriptor), PAGE_BYTES);
  queue->available = memory_take(sizeof(struct virtq_available) + (size + 1) * sizeof(u16), RING_ALIGNMENT);
  queue->used = memory_take(
      sizeof(struct virtq_used) + size * sizeof(struct virtq_used_element) + sizeof(u16), RING_ALIGNMENT);
  queue->has_event_index = virtio_mmio_has(device, VIRTIO_F_EVENT_IDX);
  if (virtio_mmio_has(device, VIRTIO_F_INDIRECT_DESC))
    queue->indirect =
        memory_take(size * VIRTQUEUE_SEGMENT_MAX * sizeof(struct virtq_descriptor), RING_ALIGNMENT);
  for (u32 i = 0; i < size; i++) queue->descriptors[i].next = (u16)(i + 1);
  virtqueue_forgo_interrupt(queue);
}

static inline volatile u16 *used_event(const struct virtqueue *queue) {
  return &queue->available->ring[queue->size];
}
static inline volatile u16 *available_event(const struct virtqueue *queue) {
  return (volatile u16 *)&queue->used->ring[queue->size];
}

static void describe(struct virtq_descriptor *descriptor, struct virtq_segment segment, bool is_written,
                     bool has_next) {
  descriptor->address = segment.address;
  descriptor->length = segment.length;
  descriptor->flags = (u16)((is_written ? DESCRIPTOR_WRITE : 0) | (has_next ? DESCRIPTOR_NEXT : 0));
}

static void add_indirect(struct virtqueue *queue, u16 head, const struct virtq_segment *segments,
                         u32 read_count, u32 count) {
  struct virtq_descriptor *table = queue->indirect + head * VIRTQUEUE_SEGMENT_MAX;
  for (u32 i = 0; i < count; i++) {
    describe(&table[i], segments[i], i >= read_count, i + 1 < count);
    table[i].next = (u16)(i + 1);
  }
  struct virtq_descriptor *descriptor = &queue->descriptors[head];
  descriptor->address = (u64)table;
  descriptor->length = count * (u32)sizeof(struct virtq_descriptor);
  descriptor->flags = DESCRIPTOR_INDIRECT;
}

bool virtqueue_add(struct virtqueue *queue, const struct virtq_segment *segments, u32 read_count,
                   u32 write_count, void *token) {
  u32 count = read_count + write_count;
  bool is_indirect = queue->indirect && count > 1;
  u32 needed = is_indirect ? 1 : count;
  if (count > VIRTQUEUE_SEGMENT_MAX) fatal("a virtio request of %u segments", count);
  if (needed > queue->free_count) return false;
  u16 head = queue->free_first, last = head;
  if (is_indirect) {
    add_indirect(queue, head, segments, read_count, count);
  } else {
    for (u32 i = 0; i < count; i++) {
      if (i) last = queue->descriptors[last].next;
      describe(&queue->descriptors[last], segments[i], i >= read_count, i + 1 < count);
    }
  }
  queue->free_first = queue->descriptors[last].next;
  queue->free_count = (u16)(queue->free_count - needed);
  queue->tokens[head] = token;
  queue->available->ring[queue->added++ & (queue->size - 1)] = head;
  return true;
}

// Whether `event` lies in the indices from `old` to before `new` (virtio 1.2, 2.7.7.2).
static bool needs_event(u16 event, u16 new, u16 old) { return (u16)(new - event - 1) < (u16)(new - old); }

void virtqueue_publish(struct virtqueue *queue) {
  u16 old = queue->published;
  if (queue->added == old) return;
  compiler_barrier(); // descriptors and ring before the index
  queue->available->index = queue->published = queue->added;
  memory_fence(); // the index before looking whether the device still sleeps
  bool is_wanted = queue->has_event_index ? needs_event(*available_event(queue), queue->added, old)
                                          : !(queue->used->flags & USED_NO_NOTIFY);
  if (is_wanted) posted_write(queue->device->base + VIRTIO_MMIO_QUEUE_NOTIFY, queue->number);
}

static void free_chain(struct virtqueue *queue, u16 head) {
  u16 last = head, count = 1;
  while (queue->descriptors[last].flags & DESCRIPTOR_NEXT) {
    last = queue->descriptors[last].next;
    count++;
  }
  queue->descriptors[last].next = queue->free_first;
  queue->free_first = head;
  queue->free_count = (u16)(queue->free_count + count);
}

void *virtqueue_take(struct virtqueue *queue, u32 *length) {
  if (!virtqueue_has_completed(queue)) return NULL;
  compiler_barrier(); // the index before the element
  volatile struct virtq_used_element *element = &queue->used->ring[queue->taken & (queue->size - 1)];
  u32 head = element->id;
  if (head >= queue->size || !queue->tokens[head])
    fatal("the virtio device at 0x%lx completed a request that was not made (queue %u, id %u)",
          queue->device->base, queue->number, head);
  *length = element->length;
  void *token = queue->tokens[head];
  queue->tokens[head] = NULL;
  free_chain(queue, (u16)head);
  queue->taken++;
  return token;
}

bool virtqueue_want_interrupt(struct virtqueue *queue) {
  if (queue->has_event_index)
    *used_event(queue) = queue->taken;
  else
    queue->available->flags = 0;
  memory_fence(); // the wish before looking
  return !virtqueue_has_completed(queue);
}

void virtqueue_forgo_interrupt(struct virtqueue *queue) {
  if (queue->has_event_index)
    *used_event(queue) = (u16)(queue->taken - 1); // 65535 completions away
  else
    queue->available->flags = AVAILABLE_NO_INTERRUPT;
}

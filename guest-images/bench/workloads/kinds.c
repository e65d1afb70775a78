// Every workload there is. A new one is a file in this folder and a line here.
#include "workloads/workload.h"

extern const struct workload_kind workload_idle, workload_cpu, workload_dirty, workload_disk, workload_rng,
    workload_spin, workload_halt, workload_fault, workload_exits, workload_tcp_client, workload_tcp_server,
    workload_stream_client, workload_stream_server;

const struct workload_kind *const workload_kinds[] = {
    &workload_idle,          &workload_cpu,        &workload_dirty,      &workload_disk,
    &workload_rng,           &workload_tcp_client, &workload_tcp_server, &workload_stream_client,
    &workload_stream_server, &workload_spin,       &workload_halt,       &workload_fault,
    &workload_exits,
};
const u32 workload_kind_count = array_length(workload_kinds);

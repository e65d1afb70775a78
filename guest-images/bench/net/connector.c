#include "net/connector.h"

#include "lib/fatal.h"
#include "net/retransmits.h"
#include "net/stack.h"

#define CONNECT_LIMIT_NS (250 * NS_PER_MS) // then a new try finds a server that has booted meanwhile
#define RETRY_NS (20 * NS_PER_MS)

_Noreturn static void lose(struct connector *connector, const char *how) {
  u32 address = connector->address;
  connector->workload->errors++;
  fatal("%s: the connection to %u.%u.%u.%u:%u was %s after %lu operations", connector->workload->kind->name,
        address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255, connector->port, how,
        connector->workload->meters[0].operations);
}

static void wait(struct connector *connector) {
  connector->pcb = NULL;
  connector->state = CONNECTOR_WAITING;
  connector->due_at = clock_now(&cpus[0]) + RETRY_NS;
}

static err_t on_received(void *argument, struct tcp_pcb *pcb, struct pbuf *packet, err_t error) {
  struct connector *connector = argument;
  (void)error;
  if (!packet) lose(connector, "closed by the server");
  connector->on_received(connector, packet);
  tcp_recved(pcb, packet->tot_len);
  pbuf_free(packet);
  return ERR_OK;
}

static err_t on_sent(void *argument, struct tcp_pcb *pcb, u16_t length) {
  struct connector *connector = argument;
  (void)pcb;
  connector->on_sent(connector, length);
  return ERR_OK;
}

// lwIP has freed the connection already.
static void on_error(void *argument, err_t error) {
  struct connector *connector = argument;
  if (connector->state == CONNECTOR_OPEN) lose(connector, error == ERR_RST ? "reset" : "aborted");
  wait(connector);
}

static err_t on_connected(void *argument, struct tcp_pcb *pcb, err_t error) {
  struct connector *connector = argument;
  (void)error;
  connector->state = CONNECTOR_OPEN;
  stack_enlarge_segments(pcb);
  connector->on_open(connector);
  return ERR_OK;
}

static void connect(struct connector *connector, u64 now) {
  const char *name = connector->workload->kind->name;
  struct tcp_pcb *pcb = connector->pcb = tcp_new();
  if (!pcb) fatal("%s: no more connections", name);
  tcp_arg(pcb, connector);
  tcp_err(pcb, on_error);
  tcp_recv(pcb, on_received);
  tcp_sent(pcb, on_sent);
  tcp_nagle_disable(pcb);
  retransmits_count_in(pcb, &connector->workload->retransmits);
  connector->state = CONNECTOR_CONNECTING;
  connector->due_at = now + CONNECT_LIMIT_NS;
  ip_addr_t address = {lwip_htonl(connector->address)};
  err_t error = tcp_connect(pcb, &address, connector->port, on_connected);
  if (error != ERR_OK)
    fatal("%s: cannot connect: lwIP error %d (is there a route to the peer?)", name, error);
}

static void give_up(struct connector *connector) {
  tcp_err(connector->pcb, NULL);
  tcp_abort(connector->pcb);
  wait(connector);
}

u64 connector_run(struct connector *connector, u64 now) {
  if (connector->state == CONNECTOR_CONNECTING && now >= connector->due_at) give_up(connector);
  if (connector->state == CONNECTOR_WAITING && now >= connector->due_at) connect(connector, now);
  return connector->state == CONNECTOR_OPEN ? TIME_NEVER : connector->due_at;
}

#include "net/listener.h"

#include "lib/fatal.h"
#include "lib/string.h"
#include "memory/memory.h"
#include "net/retransmits.h"
#include "net/stack.h"

_Noreturn static void lose(struct listener_connection *connection, const char *how) {
  struct workload *workload = connection->listener->workload;
  workload->errors++;
  fatal("%s: a connection was %s", workload->kind->name, how);
}

static void release(struct listener_connection *connection) {
  connection->pcb = NULL;
  connection->listener->open_count--;
}

static void close_connection(struct listener_connection *connection) {
  struct tcp_pcb *pcb = connection->pcb;
  if (!connection->listener->may_close(connection))
    lose(connection, "closed by the client in the middle of a message");
  tcp_arg(pcb, NULL);
  tcp_err(pcb, NULL);
  tcp_recv(pcb, NULL);
  tcp_sent(pcb, NULL);
  release(connection);
  if (tcp_close(pcb) != ERR_OK)
    fatal("%s: lwIP cannot close a connection", connection->listener->workload->kind->name);
}

static err_t on_received(void *argument, struct tcp_pcb *pcb, struct pbuf *packet, err_t error) {
  struct listener_connection *connection = argument;
  (void)error;
  if (!packet) {
    close_connection(connection);
    return ERR_OK;
  }
  connection->listener->on_received(connection, packet);
  tcp_recved(pcb, packet->tot_len);
  pbuf_free(packet);
  return ERR_OK;
}

static err_t on_sent(void *argument, struct tcp_pcb *pcb, u16_t length) {
  struct listener_connection *connection = argument;
  (void)pcb, (void)length;
  if (connection->listener->on_sent) connection->listener->on_sent(connection);
  return ERR_OK;
}

static void on_error(void *argument, err_t error) { lose(argument, error == ERR_RST ? "reset" : "aborted"); }

static struct listener_connection *free_record(struct listener *listener) {
  for (u32 i = 0; i < LISTENER_CONNECTION_MAX; i++)
    if (!listener->connections[i].pcb) return &listener->connections[i];
  return NULL;
}

static err_t on_accepted(void *argument, struct tcp_pcb *pcb, err_t error) {
  struct listener *listener = argument;
  struct listener_connection *connection = error == ERR_OK ? free_record(listener) : NULL;
  if (!connection) return ERR_MEM; // lwIP resets it
  connection->listener = listener;
  connection->pcb = pcb;
  if (!connection->state) connection->state = memory_take(listener->state_size, 64);
  memset(connection->state, 0, listener->state_size);
  listener->open_count++;
  tcp_arg(pcb, connection);
  tcp_err(pcb, on_error);
  tcp_recv(pcb, on_received);
  tcp_sent(pcb, on_sent);
  tcp_nagle_disable(pcb);
  stack_enlarge_segments(pcb);
  listener->on_open(connection);
  return ERR_OK;
}

void listener_start(struct listener *listener, struct workload *workload, u64 port) {
  if (!stack_is_there()) fatal("%s needs a network card: the word ip=A/N", workload->kind->name);
  listener->workload = workload;
  struct tcp_pcb *pcb = tcp_new();
  if (!pcb || tcp_bind(pcb, IP_ADDR_ANY, (u16)port) != ERR_OK)
    fatal("%s: cannot bind port %lu", workload->kind->name, port);
  retransmits_count_in(pcb, &workload->retransmits); // accepted connections inherit it
  pcb = tcp_listen(pcb);
  if (!pcb) fatal("%s: cannot listen", workload->kind->name);
  tcp_arg(pcb, listener);
  tcp_accept(pcb, on_accepted);
}

// libmicrohttpd for the HTTPServer module: its variadic calls, and its enums, which Swift imports as closed,
// so that a value a later version adds would be undefined behaviour there.
#ifndef HALL_MICROHTTPD_SHIM_H
#define HALL_MICROHTTPD_SHIM_H

#include <microhttpd.h>
#include <sys/prctl.h>

// What a daemon calls, all on its own thread. Lives until after MHD_stop_daemon.
struct mhd_face {
  // The thread's name; the kernel keeps 15 bytes.
  char name[16];
  int named;
  // A connection was accepted; the result comes back with each of its requests and with `disconnected`.
  void *(*connected)(void *context, int descriptor);
  void (*disconnected)(void *context, void *connection);
  // A request line was read; `target` is as the client wrote it. The result comes back with `request` and
  // `completed`.
  void *(*target)(void *context, void *connection, struct MHD_Connection *handle, const char *target);
  // MHD_AccessHandlerCallback; 0 closes the connection.
  int (*request)(void *exchange, struct MHD_Connection *handle, const char *method, const char *version,
                 const char *data, size_t *size);
  // Always called, and once, for what `target` returned.
  void (*completed)(void *exchange);
  void *context;
};

static inline void mhd_forward_connection(void *cls, struct MHD_Connection *handle, void **connection,
                                          enum MHD_ConnectionNotificationCode what) {
  struct mhd_face *face = (struct mhd_face *)cls;
  if (!face->named) {
    face->named = 1;
    prctl(PR_SET_NAME, face->name, 0, 0, 0);
  }
  if (what == MHD_CONNECTION_NOTIFY_STARTED) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(handle, MHD_CONNECTION_INFO_CONNECTION_FD);
    *connection = info ? face->connected(face->context, info->connect_fd) : NULL;
  } else if (what == MHD_CONNECTION_NOTIFY_CLOSED && *connection) {
    face->disconnected(face->context, *connection);
    *connection = NULL;
  }
}

static inline void *mhd_forward_target(void *cls, const char *target, struct MHD_Connection *handle) {
  struct mhd_face *face = (struct mhd_face *)cls;
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(handle, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  void *connection = info ? info->socket_context : NULL;
  return connection ? face->target(face->context, connection, handle, target) : NULL;
}

static inline enum MHD_Result mhd_forward_request(void *cls, struct MHD_Connection *handle, const char *url,
                                                  const char *method, const char *version, const char *data,
                                                  size_t *size, void **exchange) {
  struct mhd_face *face = (struct mhd_face *)cls;
  (void)url;
  if (!*exchange) return MHD_NO;
  return face->request(*exchange, handle, method, version, data, size) ? MHD_YES : MHD_NO;
}

static inline void mhd_forward_completed(void *cls, struct MHD_Connection *handle, void **exchange,
                                         enum MHD_RequestTerminationCode why) {
  struct mhd_face *face = (struct mhd_face *)cls;
  (void)handle;
  (void)why;
  if (*exchange) face->completed(*exchange);
  *exchange = NULL;
}

// Before 1.0, what the library refuses after reading a header (a missing Host when strict, always a bad
// length) it answers with the header of the answer sent twice. So it is not asked to be strict there:
// HTTPServer checks what it would.
static inline int mhd_is_old(void) { return MHD_get_version()[0] == '0'; }

// Starts a daemon on a listening socket, which it takes over.
static inline struct MHD_Daemon *mhd_start(struct mhd_face *face, int listening, unsigned connections,
                                           unsigned idle_seconds, size_t connection_memory) {
  return MHD_start_daemon(
      MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC, 0, NULL, NULL,
      &mhd_forward_request, face,
      MHD_OPTION_LISTEN_SOCKET, (MHD_socket)listening,
      MHD_OPTION_NOTIFY_CONNECTION, &mhd_forward_connection, face,
      MHD_OPTION_URI_LOG_CALLBACK, &mhd_forward_target, face,
      MHD_OPTION_NOTIFY_COMPLETED, &mhd_forward_completed, face,
      MHD_OPTION_CONNECTION_LIMIT, connections,
      MHD_OPTION_CONNECTION_TIMEOUT, idle_seconds,
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, connection_memory,
      MHD_OPTION_STRICT_FOR_CLIENT, mhd_is_old() ? 0 : 1,
      MHD_OPTION_END);
}

// An answer with a copy of these bytes; NULL without memory.
static inline struct MHD_Response *mhd_response(const void *bytes, size_t count) {
  return MHD_create_response_from_buffer(count, (void *)bytes, MHD_RESPMEM_MUST_COPY);
}

static inline int mhd_queue(struct MHD_Connection *handle, unsigned status, struct MHD_Response *response) {
  return MHD_queue_response(handle, status, response) == MHD_YES;
}

static inline void mhd_add_field(struct MHD_Response *response, const char *name, const char *value) {
  MHD_add_response_header(response, name, value);
}

typedef void (*mhd_field)(void *context, const char *name, size_t name_length, const char *value,
                          size_t value_length);

struct mhd_fields {
  mhd_field each;
  void *context;
  const char *end;
  int contiguous;
};

static inline enum MHD_Result mhd_forward_field(void *cls, enum MHD_ValueKind kind, const char *name,
                                                size_t name_length, const char *value, size_t value_length) {
  struct mhd_fields *fields = (struct mhd_fields *)cls;
  (void)kind;
  if (name != fields->end + 1 && name != fields->end + 2) fields->contiguous = 0;
  if (!value) value = "";
  fields->end = value + value_length;
  fields->each(fields->context, name, name_length, value, value_length);
  return MHD_YES;
}

// Calls `each` for the header fields in the order they came in. 0 when the header has anything else between
// the request line, which begins with `method` and ends with `version`, and its end.
//
// libmicrohttpd before 1.0 parses the header where it lies: line ends and colons become NULs, and a field's
// name follows the end of the value before it. It misreads folded lines (the text of the second is appended
// to the *name*), cuts lines at a NUL and leaves nameless fields out, so that a length can hide in them; then
// the fields do not follow each other any more.
static inline int mhd_header_fields(struct MHD_Connection *handle, const char *method, const char *version,
                                    mhd_field each, void *context) {
  struct mhd_fields fields = {each, context, version, 1};
  while (*fields.end) fields.end++;
  MHD_get_connection_values_n(handle, MHD_HEADER_KIND, &mhd_forward_field, &fields);
  if (!mhd_is_old()) return 1;
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(handle, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
  if (!info || !fields.contiguous) return 0;
  // Two line ends, each CR LF or LF, close the header.
  size_t rest = (size_t)(method + info->header_size - fields.end);
  if (rest > 4) return 0;
  while (rest--)
    if (*fields.end++) return 0;
  return 1;
}

#endif

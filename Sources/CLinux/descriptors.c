#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RESULT(type, call)                 \
  ({                                       \
    type result;                           \
    do result = (call);                    \
    while (result < 0 && errno == EINTR);  \
    result < 0 ? (type)-errno : result;    \
  })

#define SAME(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), #theirs)
SAME(CLINUX_IN, EPOLLIN);
SAME(CLINUX_OUT, EPOLLOUT);
SAME(CLINUX_ERR, EPOLLERR);
SAME(CLINUX_HUP, EPOLLHUP);
SAME(CLINUX_RDHUP, EPOLLRDHUP);
SAME(CLINUX_IN, POLLIN);
SAME(CLINUX_OUT, POLLOUT);
SAME(CLINUX_EPOLL_ADD, EPOLL_CTL_ADD);
SAME(CLINUX_EPOLL_DELETE, EPOLL_CTL_DEL);
SAME(CLINUX_EPOLL_MODIFY, EPOLL_CTL_MOD);

int clinux_open(const char *path, int flags, unsigned mode) {
  return RESULT(int, open(path, flags | O_CLOEXEC | O_NOCTTY, (mode_t)mode));
}

// Not made again on EINTR: Linux has freed the number by then, and another thread may own it.
int clinux_close(int fd) {
  if (close(fd) == 0 || errno == EINTR) return 0;
  return -errno;
}

int clinux_duplicate(int fd, int lowest) { return RESULT(int, fcntl(fd, F_DUPFD_CLOEXEC, lowest)); }

int clinux_set_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return -errno;
  if (flags & O_NONBLOCK) return 0;
  return RESULT(int, fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}

long clinux_read(int fd, void *buffer, size_t count) { return RESULT(long, read(fd, buffer, count)); }

long clinux_write(int fd, const void *buffer, size_t count) { return RESULT(long, write(fd, buffer, count)); }

long clinux_pread(int fd, void *buffer, size_t count, int64_t offset) {
  return RESULT(long, pread(fd, buffer, count, (off_t)offset));
}

long clinux_pwrite(int fd, const void *buffer, size_t count, int64_t offset) {
  return RESULT(long, pwrite(fd, buffer, count, (off_t)offset));
}

int clinux_pipe(int *reading, int *writing) {
  int both[2];
  if (pipe2(both, O_CLOEXEC) < 0) return -errno;
  *reading = both[0];
  *writing = both[1];
  return 0;
}

int clinux_memory_file(const char *name) { return RESULT(int, memfd_create(name, MFD_CLOEXEC)); }

int clinux_eventfd(void) { return RESULT(int, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

int clinux_epoll_create(void) { return RESULT(int, epoll_create1(EPOLL_CLOEXEC)); }

int clinux_epoll_control(int epoll, int operation, int fd, uint32_t events, int oneShot, uint64_t token) {
  struct epoll_event event = {.events = events | (oneShot ? EPOLLONESHOT : 0), .data.u64 = token};
  return RESULT(int, epoll_ctl(epoll, operation, fd, &event));
}

int clinux_epoll_wait(int epoll, uint32_t *events, uint64_t *tokens, int capacity, int64_t nanoseconds) {
  struct epoll_event found[64];
  if (capacity > 64) capacity = 64;
  // Not made again on EINTR: the caller works its timeout out anew. In whole milliseconds, each wait would be half of one
  // too long.
  struct timespec time = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
  int count = epoll_pwait2(epoll, found, capacity, nanoseconds < 0 ? NULL : &time, NULL);
  // Kernels before 5.11, and filters of system calls that do not know it.
  if (count < 0 && (errno == ENOSYS || errno == EPERM)) {
    int64_t milliseconds = nanoseconds < 0 ? -1 : nanoseconds / 1000000 + (nanoseconds % 1000000 != 0);
    count = epoll_wait(epoll, found, capacity, milliseconds > INT_MAX ? INT_MAX : (int)milliseconds);
  }
  if (count < 0) return -errno;
  for (int i = 0; i < count; i++) {
    events[i] = found[i].events;
    tokens[i] = found[i].data.u64;
  }
  return count;
}

int clinux_poll(int fd, int events, int milliseconds) {
  struct pollfd one = {.fd = fd, .events = (short)events};
  int result = RESULT(int, poll(&one, 1, milliseconds));
  return result <= 0 ? result : one.revents;
}

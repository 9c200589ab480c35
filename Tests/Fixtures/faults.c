// A library to be preloaded into the agent (LD_PRELOAD): makes one system call fail, or ends the process at it, as a page
// that the tests share with it says. Nothing of it is in the programs that are shipped.
//
//   cc -shared -fPIC -O1 -o faults.so faults.c -ldl
//
// HALL_FAULTS names a file of at least 4096 bytes. Its first 32 bytes are the order, eight 32-bit integers:
//   0 calls    which calls count: bits of `enum call`
//   1 places   which files count: bits of `enum place`
//   2 action   0 count only, 1 fail with `error`, 2 SIGKILL before the call, 3 SIGKILL after it
//   3 nth      the call at which that happens, from 1
//   4 error    errno
//   5 nosync   1: flushing page files does nothing and says that all is well
//   6 shift    seconds added to the calendar clock
//   7 order    another number than last time: count from the beginning
// and at 64 stands what came of it: calls counted, the order that has been carried out (0: not yet), then at 128 the name of
// the call and its path as text.
// HALL_FAULT_STATE is the directory whose files count as the agent's state.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum call {
  WRITE = 1, FLUSH = 2, OPEN = 4, RENAME = 8, UNLINK = 16, CONNECT = 32, SEND = 64, SIZE = 128, MKDIR = 256,
  READ = 512, SOCKET = 1024, RECEIVE = 2048,
};
enum place { STATE = 1, SOCKETS = 2, DEVICES = 4 };

struct page {
  volatile uint32_t calls, places, action, nth, error, nosync;
  volatile int32_t shift;
  volatile uint32_t order;
  uint32_t unused[8];
  volatile uint32_t counted, carried_out, counting;
  uint32_t unused2[13];
  volatile char what[512];
};

static struct page *page;
static const char *state;
static size_t state_length;

__attribute__((constructor)) static void begin(void) {
  const char *file = getenv("HALL_FAULTS");
  state = getenv("HALL_FAULT_STATE");
  // Programs that the agent starts are not meant.
  unsetenv("LD_PRELOAD");
  if (!file || !state) return;
  state = strdup(state);
  state_length = strlen(state);
  int fd = syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return;
  void *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  syscall(SYS_close, fd);
  if (mapped != MAP_FAILED) page = mapped;
}

static int place_of(const char *path) {
  if (strncmp(path, state, state_length) == 0) return STATE;
  if (strncmp(path, "socket:", 7) == 0) return SOCKETS;
  if (strncmp(path, "/dev/pts/", 9) == 0) return DEVICES;
  return 0;
}

static void path_of(int fd, char path[PATH_MAX]) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
  path[length < 0 ? 0 : length] = 0;
}

// 0: go on; 1: fail with errno, which is set; 2: go on, and end after it.
static int meet(enum call call, const char *name, const char *path) {
  if (!page) return 0;
  int place = place_of(path);
  if (!place) return 0;
  uint32_t order = page->order;
  if (!(page->calls & call) || !(page->places & place)) return 0;
  uint32_t seen = __atomic_load_n(&page->counting, __ATOMIC_ACQUIRE);
  if (seen != order && __atomic_compare_exchange_n(&page->counting, &seen, order, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    __atomic_store_n(&page->counted, 0, __ATOMIC_RELEASE);
  uint32_t n = __atomic_add_fetch(&page->counted, 1, __ATOMIC_ACQ_REL);
  if (page->action == 0 || n != page->nth || page->carried_out == order) return 0;
  snprintf((char *)page->what, sizeof page->what, "%s %s", name, path);
  page->carried_out = order;
  switch (page->action) {
    case 1: errno = page->error; return 1;
    case 2: kill(getpid(), SIGKILL); for (;;) pause();
    case 3: return 2;
    default: return 0;
  }
}

static int meet_fd(enum call call, const char *name, int fd) {
  if (!page || !(page->calls & call)) return 0;
  char path[PATH_MAX];
  path_of(fd, path);
  return meet(call, name, path);
}

#define NEXT(name) \
  static __typeof__(&name) next; \
  if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define RUN(met, type, expression) \
  if (met == 1) return -1; \
  type result = (expression); \
  if (met == 2) { kill(getpid(), SIGKILL); for (;;) pause(); } \
  return result

#define ON_FD(call, type, name, parameters, arguments) \
  type name parameters { \
    NEXT(name); \
    int met = meet_fd(call, #name, fd); \
    RUN(met, type, next arguments); \
  }
#define ON_PATH(call, type, name, parameters, arguments) \
  type name parameters { \
    NEXT(name); \
    int met = meet(call, #name, path); \
    RUN(met, type, next arguments); \
  }

ON_FD(WRITE, ssize_t, write, (int fd, const void *bytes, size_t count), (fd, bytes, count))
ON_FD(WRITE, ssize_t, pwrite, (int fd, const void *bytes, size_t count, off_t at), (fd, bytes, count, at))
ON_FD(WRITE, ssize_t, pwrite64, (int fd, const void *bytes, size_t count, off64_t at), (fd, bytes, count, at))
ON_FD(WRITE, ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))
ON_FD(READ, ssize_t, read, (int fd, void *bytes, size_t count), (fd, bytes, count))
ON_FD(READ, ssize_t, pread, (int fd, void *bytes, size_t count, off_t at), (fd, bytes, count, at))
ON_FD(READ, ssize_t, pread64, (int fd, void *bytes, size_t count, off64_t at), (fd, bytes, count, at))
ON_FD(SIZE, int, ftruncate, (int fd, off_t size), (fd, size))
ON_FD(SIZE, int, ftruncate64, (int fd, off64_t size), (fd, size))
ON_FD(SIZE, int, fallocate, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size))
ON_FD(SIZE, int, fallocate64, (int fd, int mode, off64_t at, off64_t size), (fd, mode, at, size))
ON_FD(SEND, ssize_t, send, (int fd, const void *bytes, size_t count, int flags), (fd, bytes, count, flags))
ON_FD(SEND, ssize_t, sendto,
  (int fd, const void *bytes, size_t count, int flags, const struct sockaddr *to, socklen_t size),
  (fd, bytes, count, flags, to, size))
ON_FD(SEND, ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
ON_FD(RECEIVE, ssize_t, recv, (int fd, void *bytes, size_t count, int flags), (fd, bytes, count, flags))
ON_FD(CONNECT, int, connect, (int fd, const struct sockaddr *to, socklen_t size), (fd, to, size))
ON_PATH(UNLINK, int, unlink, (const char *path), (path))
ON_PATH(MKDIR, int, mkdir, (const char *path, mode_t mode), (path, mode))
ON_PATH(RENAME, int, rename, (const char *path, const char *to), (path, to))

// These give the error instead of setting it.
int posix_fallocate(int fd, off_t at, off_t size) {
  NEXT(posix_fallocate);
  int met = meet_fd(SIZE, "posix_fallocate", fd);
  if (met == 1) return errno;
  int result = next(fd, at, size);
  if (met == 2) { kill(getpid(), SIGKILL); for (;;) pause(); }
  return result;
}
int posix_fallocate64(int fd, off64_t at, off64_t size) {
  NEXT(posix_fallocate64);
  int met = meet_fd(SIZE, "posix_fallocate64", fd);
  if (met == 1) return errno;
  int result = next(fd, at, size);
  if (met == 2) { kill(getpid(), SIGKILL); for (;;) pause(); }
  return result;
}

int socket(int domain, int type, int protocol) {
  NEXT(socket);
  int met = meet(SOCKET, "socket", "socket:");
  RUN(met, int, next(domain, type, protocol));
}

static int is_page(int fd) {
  char path[PATH_MAX];
  path_of(fd, path);
  struct stat status;
  return place_of(path) == STATE && strstr(path + state_length, "/pages/") && fstat(fd, &status) == 0 &&
         S_ISREG(status.st_mode);
}

#define ON_FLUSH(name) \
  int name(int fd) { \
    NEXT(name); \
    int met = meet_fd(FLUSH, #name, fd); \
    if (met != 1 && page && page->nosync && is_page(fd)) return 0; \
    RUN(met, int, next(fd)); \
  }
ON_FLUSH(fsync)
ON_FLUSH(fdatasync)

#define MODE_OF(flags) \
  mode_t mode = 0; \
  if ((flags) & (O_CREAT | O_TMPFILE)) { \
    va_list rest; \
    va_start(rest, flags); \
    mode = va_arg(rest, mode_t); \
    va_end(rest); \
  }
#define ON_OPEN(name) \
  int name(const char *path, int flags, ...) { \
    MODE_OF(flags) \
    NEXT(name); \
    int met = meet(OPEN, #name, path); \
    RUN(met, int, next(path, flags, mode)); \
  }
#define ON_OPENAT(name) \
  int name(int directory, const char *path, int flags, ...) { \
    MODE_OF(flags) \
    NEXT(name); \
    int met = meet(OPEN, #name, path); \
    RUN(met, int, next(directory, path, flags, mode)); \
  }
ON_OPEN(open)
ON_OPEN(open64)
ON_OPENAT(openat)
ON_OPENAT(openat64)

int __open64_2(const char *path, int flags) {
  static int (*next)(const char *, int);
  if (!next) next = (int (*)(const char *, int))dlsym(RTLD_NEXT, "__open64_2");
  int met = meet(OPEN, "open64", path);
  RUN(met, int, next(path, flags));
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  NEXT(clock_gettime);
  int result = next(clock, time);
  if (result == 0 && page && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += page->shift;
  return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  static int (*next)(struct timeval *restrict, void *restrict);
  if (!next) next = (int (*)(struct timeval *restrict, void *restrict))dlsym(RTLD_NEXT, "gettimeofday");
  int result = next(now, zone);
  if (result == 0 && page) now->tv_sec += page->shift;
  return result;
}

time_t time(time_t *to) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (to) *to = now.tv_sec;
  return now.tv_sec;
}

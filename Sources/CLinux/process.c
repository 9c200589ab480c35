#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct start {
  void (*body)(void *);
  void *context;
  char name[16];
};

static void *thread_main(void *argument) {
  struct start start = *(struct start *)argument;
  free(argument);
  pthread_setname_np(pthread_self(), start.name);
  start.body(start.context);
  return NULL;
}

int clinux_thread_start(const char *name, size_t stackSize, void (*body)(void *), void *context) {
  struct start *start = malloc(sizeof *start);
  if (!start) return -ENOMEM;
  start->body = body;
  start->context = context;
  strncpy(start->name, name, sizeof start->name - 1);
  start->name[sizeof start->name - 1] = 0;

  // The thread must begin with every signal blocked: it would else take signals meant for the main thread.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  int result = pthread_attr_setstacksize(&attributes, stackSize);
  pthread_t thread;
  if (result == 0) result = pthread_create(&thread, &attributes, thread_main, start);
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (result != 0) free(start);
  return -result;
}

uint64_t clinux_thread_identity(void) { return (uint64_t)pthread_self(); }

static void do_nothing(int signal) { (void)signal; }

// SIGURG: ignored unless somebody asks for it, so that one too many does no harm.
int clinux_thread_interruptible(void) {
  struct sigaction action = {.sa_handler = do_nothing};
  sigset_t urgent;
  sigemptyset(&urgent);
  sigaddset(&urgent, SIGURG);
  if (sigaction(SIGURG, &action, NULL) < 0) return -errno;
  int result = pthread_sigmask(SIG_UNBLOCK, &urgent, NULL);
  return result ? -result : gettid();
}

int clinux_thread_interrupt(int thread) { return tgkill(getpid(), thread, SIGURG) < 0 ? -errno : 0; }

static _Atomic int signal_pipe = -1;

// Only what a handler may do: write(2), to a pipe that never blocks. One that is full holds 65536 signals already.
static void note_signal(int signal) {
  int saved = errno;
  unsigned char number = (unsigned char)signal;
  if (write(signal_pipe, &number, 1) < 0) {
  }
  errno = saved;
}

int clinux_signals_catch(int pipe, const int *signals, int count) {
  signal_pipe = pipe;
  struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
  int result = 0;
  for (int i = 0; i < count; i++)
    if (sigaction(signals[i], &action, NULL) < 0) result = -errno;
  return result;
}

int clinux_ignore_broken_pipe(void) {
  struct sigaction now;
  if (sigaction(SIGPIPE, NULL, &now) < 0) return -errno;
  if ((now.sa_flags & SA_SIGINFO) || now.sa_handler != SIG_DFL) return 0;
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  return sigaction(SIGPIPE, &ignore, NULL) < 0 ? -errno : 0;
}

// A descriptor of -1 leaves the child the parent's own. The others must be 3 or more, so that none of them is
// overwritten before it has been copied.
int clinux_spawn(const char *path, char *const *arguments, char *const *environment, const char *directory,
                 int input, int output, int error, int *pidfd) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int result = posix_spawn_file_actions_init(&actions);
  if (result != 0) return -result;
  result = posix_spawnattr_init(&attributes);
  if (result != 0) {
    posix_spawn_file_actions_destroy(&actions);
    return -result;
  }
  int standard[3] = {input, output, error};
  for (int i = 0; i < 3 && result == 0; i++)
    if (standard[i] >= 0) result = posix_spawn_file_actions_adddup2(&actions, standard[i], i);
  // Libraries may have opened descriptors without close-on-exec: nothing from 3 upwards gets through.
  if (result == 0) result = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  if (result == 0 && directory) result = posix_spawn_file_actions_addchdir_np(&actions, directory);

  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  if (result == 0) result = posix_spawnattr_setsigmask(&attributes, &none);
  if (result == 0) result = posix_spawnattr_setsigdefault(&attributes, &all);
  if (result == 0) result = posix_spawnattr_setpgroup(&attributes, 0);
  if (result == 0)
    result = posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  pid_t child = 0;
  if (result == 0)
    result = posix_spawnp(&child, path, &actions, &attributes, arguments, environment ? environment : environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (result != 0) return -result;

  // Until it is waited for, the number cannot mean another process.
  long opened = syscall(SYS_pidfd_open, child, 0);
  if (opened < 0) {
    result = errno;
    kill(-child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
    }
    return -result;
  }
  *pidfd = (int)opened;
  return child;
}

int clinux_pidfd_reap(int pidfd, int blocking, int *code) {
  siginfo_t info;
  int result;
  do {
    memset(&info, 0, sizeof info);
    result = waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | (blocking ? 0 : WNOHANG));
  } while (result < 0 && errno == EINTR);
  if (result < 0) return -errno;
  if (info.si_pid == 0) return 0;
  *code = info.si_status;
  return info.si_code == CLD_EXITED ? 1 : 2;
}

int clinux_kill(int process, int signal) { return kill(process, signal) < 0 ? -errno : 0; }

int clinux_groups(uint32_t *groups, int capacity) {
  _Static_assert(sizeof(gid_t) == sizeof(uint32_t), "gid_t");
  int count = getgroups(capacity, groups);
  return count < 0 ? -errno : count;
}

#define WITH_GROWING_BUFFER(record_type, lookup, found)                 \
  do {                                                                  \
    size_t size = 4096;                                                 \
    for (;;) {                                                          \
      char *buffer_ = malloc(size);                                     \
      if (!buffer_) return -ENOMEM;                                     \
      record_type record, *entry = NULL;                                \
      int error = lookup;                                               \
      if (error == ERANGE && size < (1u << 24)) {                       \
        free(buffer_);                                                  \
        size *= 4;                                                      \
        continue;                                                       \
      }                                                                 \
      int result = error ? -error : -ENOENT;                            \
      if (!error && entry) result = found;                              \
      free(buffer_);                                                    \
      return result;                                                    \
    }                                                                   \
  } while (0)

static int copy_text(const char *text, char *buffer, size_t capacity) {
  size_t length = strlen(text);
  if (length >= capacity) return -ENAMETOOLONG;
  memcpy(buffer, text, length + 1);
  return 0;
}

int clinux_user_name(uint32_t user, char *buffer, size_t capacity) {
  WITH_GROWING_BUFFER(struct passwd, getpwuid_r(user, &record, buffer_, size, &entry),
                      copy_text(entry->pw_name, buffer, capacity));
}

int clinux_user_id(const char *name, uint32_t *user) {
  WITH_GROWING_BUFFER(struct passwd, getpwnam_r(name, &record, buffer_, size, &entry),
                      (*user = entry->pw_uid, 0));
}

int clinux_group_id(const char *name, uint32_t *group) {
  WITH_GROWING_BUFFER(struct group, getgrnam_r(name, &record, buffer_, size, &entry),
                      (*group = entry->gr_gid, 0));
}

int clinux_host_name(char *buffer, size_t capacity) {
  if (gethostname(buffer, capacity) < 0) return -errno;
  buffer[capacity - 1] = 0;
  return 0;
}

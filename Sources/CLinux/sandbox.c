#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int clinux_forbid_core_dumps(void) {
  const struct rlimit none = {0, 0};
  // The Swift runtime's own handlers print the registers and the memory that they point to.
  static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGABRT, SIGFPE, SIGQUIT};
  for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) {
    const struct sigaction standard = {.sa_handler = SIG_DFL};
    if (sigaction(crashes[i], &standard, NULL) < 0) return -errno;
  }
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return -errno;
  return setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0;
}

static int limit(int what, rlim_t most) {
  struct rlimit now;
  if (getrlimit(what, &now) < 0) return -errno;
  if (now.rlim_max != RLIM_INFINITY && now.rlim_max < most) most = now.rlim_max;
  const struct rlimit next = {most, most};
  return setrlimit(what, &next) < 0 ? -errno : 0;
}

static int allow(int ruleset, const char *path, __u64 rights) {
  const int place = open(path, O_PATH | O_CLOEXEC);
  if (place < 0) return 0;  // What is not there needs no permission.
  struct stat status;
  if (fstat(place, &status) == 0 && !S_ISDIR(status.st_mode))
    rights &= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE;
  const struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = place};
  const long result = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
  const int error = errno;
  close(place);
  return result < 0 ? -error : 0;
}

// Reading and running of what programs need to start, and of one directory; nothing can be written anywhere.
static int restrict_files(const char *directory) {
  const __u64 handled = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |
                        LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                        LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                        LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
                        LANDLOCK_ACCESS_FS_MAKE_SYM;
  const struct landlock_ruleset_attr attributes = {.handled_access_fs = handled};
  const int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
  if (ruleset < 0) return -errno;
  const __u64 reading = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
  static const char *const needed[] = {"/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/ld.so.preload",
                                       "/etc/alternatives", "/etc/localtime", "/dev/null", "/dev/zero", "/dev/urandom"};
  int error = allow(ruleset, directory, reading);
  for (size_t i = 0; !error && i < sizeof needed / sizeof *needed; i++) error = allow(ruleset, needed[i], reading);
  if (!error && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0) error = -errno;
  close(ruleset);
  return error;
}

static int enter(const char *directory, unsigned seconds, unsigned long long memory, unsigned *layers) {
  // Without privileges a namespace for users comes first; the namespaces it owns are then this process's to make.
  const int others = CLONE_NEWNET | CLONE_NEWIPC;
  if (unshare(others) == 0 || unshare(CLONE_NEWUSER | others) == 0) *layers |= CLINUX_SANDBOX_NETWORK;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
  if (restrict_files(directory) == 0) *layers |= CLINUX_SANDBOX_FILES;
  int error = limit(RLIMIT_CORE, 0);
  if (!error) error = limit(RLIMIT_CPU, seconds);
  if (!error) error = limit(RLIMIT_AS, memory);
  if (!error) error = limit(RLIMIT_FSIZE, 0);
  if (!error) error = limit(RLIMIT_NOFILE, 64);
  if (error) return error;
  if (geteuid() == 0) {
    const unsigned nobody = 65534;
    if (setgroups(0, NULL) < 0 || setresgid(nobody, nobody, nobody) < 0 || setresuid(nobody, nobody, nobody) < 0)
      return -errno;
    *layers |= CLINUX_SANDBOX_ACCOUNT;
  }
  return 0;
}

struct news {
  int error;
  unsigned layers;
};

// After the fork only what may be called between fork and exec in a program with threads: system calls.
_Noreturn static void child(const char *path, char *const *arguments, char *const *environment, const char *directory,
                            int input, int output, int error_output, unsigned seconds, unsigned long long memory,
                            int pipe) {
  struct news news = {0, 0};
  sigset_t none;
  sigemptyset(&none);
  for (int signal = 1; signal < NSIG; signal++) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(signal, &action, NULL);
  }
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (setpgid(0, 0) < 0 || dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(error_output, 2) < 0 || chdir(directory) < 0)
    news.error = -errno;
  if (!news.error) news.error = enter(directory, seconds, memory, &news.layers);
  if (write(pipe, &news, sizeof news) < 0) _exit(127);
  if (news.error) _exit(127);
  // Everything but the standard streams is closed by exec, as this program opens nothing without that flag; what a
  // library may have opened otherwise is closed here.
  syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
  execve(path, arguments, environment);
  news.error = -errno;
  if (write(pipe, &news, sizeof news) < 0) _exit(127);
  _exit(127);
}

int clinux_spawn_sandboxed(const char *path, char *const *arguments, char *const *environment, const char *directory,
                           int input, int output, int error_output, unsigned seconds, unsigned long long memory,
                           int *pidfd, unsigned *layers) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
  const pid_t id = fork();
  if (id == 0) {
    child(path, arguments, environment, directory, input, output, error_output, seconds, memory, ends[1]);
  }
  const int error = errno;
  close(ends[1]);
  if (id < 0) {
    close(ends[0]);
    return -error;
  }
  struct news news = {-EPIPE, 0}, next;
  ssize_t count;
  while ((count = read(ends[0], &next, sizeof next)) != 0) {
    if (count == (ssize_t)sizeof next) news = next;
    else if (count < 0 && errno != EINTR) break;
  }
  close(ends[0]);
  if (!news.error) {
    *layers = news.layers;
    *pidfd = (int)syscall(SYS_pidfd_open, id, 0);
    if (*pidfd >= 0) return id;
    news.error = -errno;
    kill(id, SIGKILL);
  }
  while (waitpid(id, NULL, 0) < 0 && errno == EINTR) {
  }
  return news.error;
}

#define _GNU_SOURCE
#include "CLinux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RESULT(call)                       \
  ({                                       \
    int result;                            \
    do result = (call);                    \
    while (result < 0 && errno == EINTR);  \
    result < 0 ? -errno : result;          \
  })

static void fill(const struct stat *from, struct clinux_status *to) {
  to->device = from->st_dev;
  to->inode = from->st_ino;
  to->size = (uint64_t)from->st_size;
  to->deviceNumber = from->st_rdev;
  to->modifiedSeconds = from->st_mtime;
  to->user = from->st_uid;
  to->group = from->st_gid;
  to->mode = from->st_mode & 07777;
  switch (from->st_mode & S_IFMT) {
    case S_IFREG: to->kind = CLINUX_KIND_FILE; break;
    case S_IFDIR: to->kind = CLINUX_KIND_DIRECTORY; break;
    case S_IFLNK: to->kind = CLINUX_KIND_LINK; break;
    case S_IFSOCK: to->kind = CLINUX_KIND_SOCKET; break;
    case S_IFCHR: to->kind = CLINUX_KIND_CHARACTER_DEVICE; break;
    case S_IFIFO: to->kind = CLINUX_KIND_FIFO; break;
    default: to->kind = CLINUX_KIND_OTHER;
  }
}

int clinux_status(const char *path, int followLinks, struct clinux_status *status) {
  struct stat found;
  if (fstatat(AT_FDCWD, path, &found, followLinks ? 0 : AT_SYMLINK_NOFOLLOW) < 0) return -errno;
  fill(&found, status);
  return 0;
}

int clinux_status_of(int fd, struct clinux_status *status) {
  struct stat found;
  if (fstat(fd, &found) < 0) return -errno;
  fill(&found, status);
  return 0;
}

int clinux_mkdir(const char *path, unsigned mode) { return RESULT(mkdir(path, (mode_t)mode)); }
int clinux_mkdtemp(char *pattern) { return mkdtemp(pattern) ? 0 : -errno; }
int clinux_unlink(const char *path) { return RESULT(unlink(path)); }
int clinux_rmdir(const char *path) { return RESULT(rmdir(path)); }
int clinux_rename(const char *from, const char *to) { return RESULT(rename(from, to)); }
int clinux_symlink(const char *target, const char *path) { return RESULT(symlink(target, path)); }
int clinux_chmod(const char *path, unsigned mode) { return RESULT(chmod(path, (mode_t)mode)); }
int clinux_fchmod(int fd, unsigned mode) { return RESULT(fchmod(fd, (mode_t)mode)); }
int clinux_chown(const char *path, uint32_t user, uint32_t group) { return RESULT(chown(path, user, group)); }
int clinux_truncate(int fd, uint64_t size) { return RESULT(ftruncate(fd, (off_t)size)); }
int clinux_flock(int fd) { return RESULT(flock(fd, LOCK_EX | LOCK_NB)); }
int clinux_unlock(int fd) { return RESULT(flock(fd, LOCK_UN)); }

// Not made again on EINTR either: whatever an fsync reported, the next one may say "fine" about lost pages.
int clinux_fsync(int fd) { return fsync(fd) < 0 ? -errno : 0; }
int clinux_fdatasync(int fd) { return fdatasync(fd) < 0 ? -errno : 0; }


int clinux_begin_sync(int fd) { return RESULT(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE)); }

int clinux_seek(int fd, int64_t offset, int fromEnd) {
  return lseek(fd, (off_t)offset, fromEnd ? SEEK_END : SEEK_SET) < 0 ? -errno : 0;
}

int clinux_reserve(int fd, uint64_t bytes) {
  int error;
  do error = posix_fallocate(fd, 0, (off_t)bytes);
  while (error == EINTR);
  return -error;
}

int clinux_free_space(const char *path, uint64_t *freeBytes, uint64_t *totalBytes, uint64_t *freeFiles) {
  struct statvfs space;
  int result = RESULT(statvfs(path, &space));
  if (result < 0) return result;
  *freeBytes = (uint64_t)space.f_bavail * space.f_frsize;
  *totalBytes = (uint64_t)space.f_blocks * space.f_frsize;
  *freeFiles = space.f_favail;
  return 0;
}

int clinux_real_path(const char *path, char *buffer, size_t capacity) {
  char *found = realpath(path, NULL);
  if (!found) return -errno;
  size_t length = strlen(found);
  int result = length < capacity ? 0 : -ENAMETOOLONG;
  if (result == 0) memcpy(buffer, found, length + 1);
  free(found);
  return result;
}

// Takes the directory's descriptor. Every step is relative to an open directory and follows no link, so that a link
// put in place meanwhile cannot lead the removal elsewhere.
static int remove_contents(int fd, int depth) {
  DIR *directory = fdopendir(fd);
  if (!directory) {
    int error = errno;
    close(fd);
    return -error;
  }
  int first = 0;
  for (;;) {
    errno = 0;
    struct dirent *entry = readdir(directory);
    if (!entry) {
      if (errno && !first) first = -errno;
      break;
    }
    const char *name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    if (unlinkat(dirfd(directory), name, 0) == 0) continue;
    if (errno == EISDIR || errno == EPERM) {
      int inner = openat(dirfd(directory), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      int result = inner < 0 ? -errno : depth == 0 ? (close(inner), -ELOOP) : remove_contents(inner, depth - 1);
      if (result == 0 && unlinkat(dirfd(directory), name, AT_REMOVEDIR) < 0) result = -errno;
      if (result < 0 && !first) first = result;
    } else if (errno != ENOENT && !first) {
      first = -errno;
    }
  }
  closedir(directory);
  return first;
}

int clinux_remove_tree(const char *path) {
  if (unlink(path) == 0) return 0;
  if (errno != EISDIR && errno != EPERM) return -errno;
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -errno;
  int result = remove_contents(fd, 100);
  if (result < 0) return result;
  return rmdir(path) < 0 ? -errno : 0;
}

void *clinux_directory_open(const char *path, int *error) {
  DIR *directory = opendir(path);
  *error = directory ? 0 : errno;
  return directory;
}

const char *clinux_directory_next(void *directory, int *error) {
  for (;;) {
    errno = 0;
    struct dirent *entry = readdir(directory);
    *error = entry ? 0 : errno;
    if (!entry) return NULL;
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) return entry->d_name;
  }
}

void clinux_directory_close(void *directory) { closedir(directory); }

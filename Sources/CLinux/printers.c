#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <linux/lp.h>
#include <sys/ioctl.h>

int clinux_lp_status(int fd) {
  int status = 0;
  return ioctl(fd, LPGETSTATUS, &status) < 0 ? -errno : status & 0xff;
}

// The request's number carries the capacity (drivers/usb/class/usblp.c, LPIOC_GET_DEVICE_ID).
int clinux_lp_device_id(int fd, void *buffer, size_t capacity) {
  if (capacity >= 1u << _IOC_SIZEBITS) return -EINVAL;
  return ioctl(fd, _IOC(_IOC_READ, 'P', 1, capacity), buffer) < 0 ? -errno : 0;
}

int clinux_lp_presence(int fd) {
  int ids[2];
  return ioctl(fd, _IOC(_IOC_READ, 'P', 6, sizeof ids), ids) < 0 ? -errno : 0;
}

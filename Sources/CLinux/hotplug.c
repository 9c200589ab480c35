#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <linux/usbdevice_fs.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

int clinux_clock_watch_again(int fd) {
  // Never due: it is cancelled when the clock is set, which the kernel also does at every resume.
  struct itimerspec never = {.it_value = {.tv_sec = (time_t)1 << 33}};
  int flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
  // ECANCELED: the clock was set between the last look and this; it is armed all the same.
  if (timerfd_settime(fd, flags, &never, NULL) < 0 && errno != ECANCELED) return -errno;
  return 0;
}

int clinux_clock_watch(void) {
  int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
  if (fd < 0) return -errno;
  int result = clinux_clock_watch_again(fd);
  if (result < 0) {
    close(fd);
    return result;
  }
  return fd;
}

int clinux_usb_reset(int fd) { return ioctl(fd, USBDEVFS_RESET, 0) < 0 ? -errno : 0; }

#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

_Static_assert(CLINUX_DTR == TIOCM_DTR && CLINUX_RTS == TIOCM_RTS && CLINUX_CTS == TIOCM_CTS &&
                   CLINUX_CD == TIOCM_CD && CLINUX_RI == TIOCM_RI && CLINUX_DSR == TIOCM_DSR,
               "modem lines");

int clinux_pty_open(char *path, size_t capacity) {
  int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return -errno;
  struct termios settings;
  int error = 0;
  if (grantpt(fd) < 0 || unlockpt(fd) < 0 || tcgetattr(fd, &settings) < 0) error = errno;
  if (!error) {
    cfmakeraw(&settings);
    if (tcsetattr(fd, TCSANOW, &settings) < 0) error = errno;
  }
  if (!error) error = ptsname_r(fd, path, capacity);
  if (error) {
    close(fd);
    return -error;
  }
  return fd;
}

int clinux_terminal_width(int fd) {
  struct winsize size;
  return ioctl(fd, TIOCGWINSZ, &size) < 0 ? -errno : size.ws_col;
}

int clinux_is_terminal(int fd) { return isatty(fd); }

static speed_t speed_of(int baud) {
  switch (baud) {
    case 9600: return B9600;
    case 19200: return B19200;
    case 38400: return B38400;
    case 57600: return B57600;
    case 115200: return B115200;
    default: return B0;
  }
}

int clinux_serial_configure(int fd, int baud, int flow) {
  speed_t speed = speed_of(baud);
  if (speed == B0) return -EINVAL;
  struct termios settings;
  if (tcgetattr(fd, &settings) < 0) return -errno;
  cfmakeraw(&settings);
  settings.c_cflag &= ~(tcflag_t)(CSIZE | PARENB | PARODD | CSTOPB | CRTSCTS | HUPCL);
  settings.c_cflag |= CS8 | CREAD | CLOCAL;
  settings.c_iflag &= ~(tcflag_t)(IXON | IXOFF | IXANY | INPCK);
  settings.c_iflag |= IGNBRK;
  if (flow == CLINUX_FLOW_HARDWARE) settings.c_cflag |= CRTSCTS;
  if (flow == CLINUX_FLOW_SOFTWARE) settings.c_iflag |= IXON | IXOFF;
  settings.c_cc[VMIN] = 1;
  settings.c_cc[VTIME] = 0;
  cfsetispeed(&settings, speed);
  cfsetospeed(&settings, speed);
  if (tcsetattr(fd, TCSANOW, &settings) < 0) return -errno;

  // tcsetattr succeeds when any of its changes did (termios(3)).
  struct termios now;
  if (tcgetattr(fd, &now) < 0) return -errno;
  const tcflag_t control = CSIZE | PARENB | CSTOPB | CRTSCTS, input = IXON | IXOFF;
  if (cfgetospeed(&now) != speed || (now.c_cflag & control) != (settings.c_cflag & control) ||
      (now.c_iflag & input) != (settings.c_iflag & input))
    return -EINVAL;
  return 0;
}

// Of a pseudo-terminal's controller: the speed that the other side has been set to. 0 for one not listed above.
int clinux_serial_speed(int fd) {
  static const int speeds[] = {9600, 19200, 38400, 57600, 115200};
  struct termios now;
  if (tcgetattr(fd, &now) < 0) return -errno;
  for (size_t i = 0; i < sizeof speeds / sizeof *speeds; i++)
    if (cfgetospeed(&now) == speed_of(speeds[i])) return speeds[i];
  return 0;
}

int clinux_serial_is_exclusive(int fd) {
  int exclusive = 0;
  return ioctl(fd, TIOCGEXCL, &exclusive) < 0 ? -errno : exclusive != 0;
}

int clinux_serial_set_exclusive(int fd) { return ioctl(fd, TIOCEXCL) < 0 ? -errno : 0; }

int clinux_serial_discard_input(int fd) { return tcflush(fd, TCIFLUSH) < 0 ? -errno : 0; }

int clinux_serial_unsent(int fd) {
  int count = 0;
  return ioctl(fd, TIOCOUTQ, &count) < 0 ? -errno : count;
}

int clinux_serial_lines(int fd) {
  int lines = 0;
  return ioctl(fd, TIOCMGET, &lines) < 0 ? -errno : lines;
}

int clinux_serial_set_lines(int fd, int on, int off) {
  if (on && ioctl(fd, TIOCMBIS, &on) < 0) return -errno;
  if (off && ioctl(fd, TIOCMBIC, &off) < 0) return -errno;
  return 0;
}

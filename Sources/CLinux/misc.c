#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <iconv.h>
#include <sys/random.h>
#include <sys/timex.h>
#include <time.h>

long clinux_convert(const char *to, const char *from, const void *input, size_t length, void *output,
                    size_t capacity) {
  iconv_t converter = iconv_open(to, from);
  if (converter == (iconv_t)-1) return -errno;
  char *in = (char *)input, *out = output;
  size_t left = length, room = capacity;
  long result = 0;
  // The second call writes what returns a stateful encoding to its initial state.
  if (iconv(converter, &in, &left, &out, &room) == (size_t)-1 ||
      iconv(converter, NULL, NULL, &out, &room) == (size_t)-1)
    result = -errno;
  iconv_close(converter);
  return result < 0 ? result : (long)(capacity - room);
}

int clinux_convert_available(const char *to, const char *from) {
  iconv_t converter = iconv_open(to, from);
  if (converter == (iconv_t)-1) return 0;
  iconv_close(converter);
  return 1;
}

void clinux_now(int64_t *seconds, int32_t *nanoseconds) {
  struct timespec now = {0, 0};
  clock_gettime(CLOCK_REALTIME, &now);
  *seconds = now.tv_sec;
  *nanoseconds = (int32_t)now.tv_nsec;
}

int32_t clinux_utc_offset(int64_t seconds) {
  time_t time = (time_t)seconds;
  struct tm local;
  // localtime_r alone reads the zone once for the life of the process; a technician may set it later.
  tzset();
  return localtime_r(&time, &local) ? (int32_t)local.tm_gmtoff : 0;
}

static uint64_t clock_of(clockid_t clock) {
  struct timespec now = {0, 0};
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clinux_monotonic(void) { return clock_of(CLOCK_MONOTONIC); }
uint64_t clinux_boottime(void) { return clock_of(CLOCK_BOOTTIME); }

int clinux_clock_synchronised(void) {
  struct timex state = {.modes = 0};
  int result = adjtimex(&state);
  return result >= 0 && result != TIME_ERROR && !(state.status & STA_UNSYNC);
}

int clinux_random(void *buffer, size_t count) {
  char *next = buffer;
  while (count > 0) {
    ssize_t got = getrandom(next, count, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    next += got;
    count -= (size_t)got;
  }
  return 0;
}

#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <linux/hidraw.h>
#include <linux/input.h>
#include <linux/videodev2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

// Swift reads events as 24 bytes with the time in two numbers of 8: 64-bit systems.
_Static_assert(sizeof(struct input_event) == 24, "input_event");
_Static_assert(CLINUX_HID_DESCRIPTOR == HID_MAX_DESCRIPTOR_SIZE, "HID_MAX_DESCRIPTOR_SIZE");
_Static_assert(CLINUX_KEYS == KEY_CNT, "KEY_CNT");
_Static_assert(CLINUX_VIDEO_CAPTURE == V4L2_CAP_VIDEO_CAPTURE && CLINUX_VIDEO_STREAMING == V4L2_CAP_STREAMING &&
                   CLINUX_VIDEO_COMPRESSED == V4L2_FMT_FLAG_COMPRESSED && CLINUX_VIDEO_ERROR == V4L2_BUF_FLAG_ERROR,
               "videodev2.h");

static int control(int fd, unsigned long request, void *argument) {
  int result;
  do result = ioctl(fd, request, argument);
  while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : result;
}

// The kernel gives no more than `capacity` bytes, and does not always end them.
static int text(int fd, unsigned long request, char *buffer, size_t capacity) {
  memset(buffer, 0, capacity);
  int result = control(fd, request, buffer);
  buffer[capacity - 1] = 0;
  return result < 0 ? result : 0;
}

int clinux_hidraw_descriptor(int fd, uint8_t *buffer) {
  struct hidraw_report_descriptor descriptor;
  memset(&descriptor, 0, sizeof descriptor);
  int size = 0;
  int result = control(fd, HIDIOCGRDESCSIZE, &size);
  if (result < 0) return result;
  if (size < 0 || size > HID_MAX_DESCRIPTOR_SIZE) return -EPROTO;
  descriptor.size = (unsigned)size;
  result = control(fd, HIDIOCGRDESC, &descriptor);
  if (result < 0) return result;
  memcpy(buffer, descriptor.value, (size_t)size);
  return size;
}

int clinux_hidraw_info(int fd, uint32_t *bus, uint16_t *vendor, uint16_t *product) {
  struct hidraw_devinfo info;
  memset(&info, 0, sizeof info);
  int result = control(fd, HIDIOCGRAWINFO, &info);
  if (result < 0) return result;
  *bus = info.bustype;
  *vendor = (uint16_t)info.vendor;
  *product = (uint16_t)info.product;
  return 0;
}

int clinux_hidraw_text(int fd, int which, char *buffer, size_t capacity) {
  switch (which) {
    case CLINUX_HID_NAME: return text(fd, HIDIOCGRAWNAME(capacity), buffer, capacity);
    case CLINUX_HID_PHYSICAL: return text(fd, HIDIOCGRAWPHYS(capacity), buffer, capacity);
    default: return text(fd, HIDIOCGRAWUNIQ(capacity), buffer, capacity);
  }
}

int clinux_hidraw_get_feature(int fd, uint8_t *buffer, size_t capacity) {
  return control(fd, HIDIOCGFEATURE(capacity), buffer);
}

int clinux_hidraw_set_feature(int fd, const uint8_t *report, size_t length) {
  return control(fd, HIDIOCSFEATURE(length), (void *)report);
}

static int has(const uint8_t *bits, unsigned number) { return bits[number / 8] >> number % 8 & 1; }

int clinux_input_has_keys(int fd) {
  uint8_t types[EV_CNT / 8 + 1], keys[KEY_CNT / 8];
  memset(types, 0, sizeof types);
  memset(keys, 0, sizeof keys);
  int result = control(fd, EVIOCGBIT(0, sizeof types), types);
  if (result < 0) return result;
  if (!has(types, EV_KEY)) return 0;
  result = control(fd, EVIOCGBIT(EV_KEY, sizeof keys), keys);
  if (result < 0) return result;
  for (size_t i = 0; i < sizeof keys; i++)
    if (keys[i]) return 1;
  return 0;
}

int clinux_input_name(int fd, char *buffer, size_t capacity) { return text(fd, EVIOCGNAME(capacity), buffer, capacity); }

int clinux_input_keys_down(int fd, uint8_t *keys) {
  uint8_t bits[KEY_CNT / 8];
  memset(bits, 0, sizeof bits);
  int result = control(fd, EVIOCGKEY(sizeof bits), bits);
  if (result < 0) return result;
  for (unsigned i = 0; i < KEY_CNT; i++) keys[i] = (uint8_t)has(bits, i);
  return 0;
}

int clinux_input_grab(int fd, int on) { return control(fd, EVIOCGRAB, (void *)(long)on); }

int clinux_input_use_monotonic_clock(int fd) {
  int clock = CLOCK_MONOTONIC;
  return control(fd, EVIOCSCLOCKID, &clock);
}

int clinux_video_query(int fd, uint32_t *capabilities, char *card, size_t capacity) {
  struct v4l2_capability found;
  memset(&found, 0, sizeof found);
  int result = control(fd, VIDIOC_QUERYCAP, &found);
  if (result < 0) return result;
  *capabilities =
      found.capabilities & V4L2_CAP_DEVICE_CAPS ? found.device_caps : found.capabilities;
  size_t length = strnlen((const char *)found.card, sizeof found.card);
  if (length >= capacity) length = capacity - 1;
  memcpy(card, found.card, length);
  card[length] = 0;
  return 0;
}

int clinux_video_format(int fd, uint32_t index, uint32_t *code, uint32_t *flags) {
  struct v4l2_fmtdesc format = {.index = index, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
  int result = control(fd, VIDIOC_ENUM_FMT, &format);
  if (result < 0) return result;
  *code = format.pixelformat;
  *flags = format.flags;
  return 0;
}

int clinux_video_size(int fd, uint32_t code, uint32_t index, struct clinux_video_size *size) {
  struct v4l2_frmsizeenum found;
  memset(&found, 0, sizeof found);
  found.index = index;
  found.pixel_format = code;
  int result = control(fd, VIDIOC_ENUM_FRAMESIZES, &found);
  if (result < 0) return result;
  if (found.type == V4L2_FRMSIZE_TYPE_DISCRETE) {
    size->minimumWidth = size->maximumWidth = found.discrete.width;
    size->minimumHeight = size->maximumHeight = found.discrete.height;
    size->stepWidth = size->stepHeight = 1;
    return 1;
  }
  size->minimumWidth = found.stepwise.min_width;
  size->maximumWidth = found.stepwise.max_width;
  size->stepWidth = found.stepwise.step_width;
  size->minimumHeight = found.stepwise.min_height;
  size->maximumHeight = found.stepwise.max_height;
  size->stepHeight = found.stepwise.step_height;
  return 0;
}

int clinux_video_set(int fd, uint32_t *code, uint32_t *width, uint32_t *height, uint32_t *lineSize,
                     uint32_t *imageSize) {
  struct v4l2_format format;
  memset(&format, 0, sizeof format);
  format.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  format.fmt.pix.pixelformat = *code;
  format.fmt.pix.width = *width;
  format.fmt.pix.height = *height;
  format.fmt.pix.field = V4L2_FIELD_ANY;
  int result = control(fd, VIDIOC_S_FMT, &format);
  if (result < 0) return result;
  *code = format.fmt.pix.pixelformat;
  *width = format.fmt.pix.width;
  *height = format.fmt.pix.height;
  *lineSize = format.fmt.pix.bytesperline;
  *imageSize = format.fmt.pix.sizeimage;
  return 0;
}

int clinux_video_request(int fd, uint32_t count) {
  struct v4l2_requestbuffers request;
  memset(&request, 0, sizeof request);
  request.count = count;
  request.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  request.memory = V4L2_MEMORY_MMAP;
  int result = control(fd, VIDIOC_REQBUFS, &request);
  return result < 0 ? result : (int)request.count;
}

static struct v4l2_buffer captured(uint32_t index) {
  struct v4l2_buffer buffer;
  memset(&buffer, 0, sizeof buffer);
  buffer.index = index;
  buffer.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  buffer.memory = V4L2_MEMORY_MMAP;
  return buffer;
}

int clinux_video_map(int fd, uint32_t index, void **address, size_t *length) {
  struct v4l2_buffer buffer = captured(index);
  int result = control(fd, VIDIOC_QUERYBUF, &buffer);
  if (result < 0) return result;
  void *place = mmap(NULL, buffer.length, PROT_READ, MAP_SHARED, fd, buffer.m.offset);
  if (place == MAP_FAILED) return -errno;
  *address = place;
  *length = buffer.length;
  return 0;
}

void clinux_video_unmap(void *address, size_t length) { munmap(address, length); }

int clinux_video_queue(int fd, uint32_t index) {
  struct v4l2_buffer buffer = captured(index);
  return control(fd, VIDIOC_QBUF, &buffer);
}

int clinux_video_take(int fd, uint32_t *index, uint32_t *used, uint32_t *flags) {
  struct v4l2_buffer buffer = captured(0);
  int result = control(fd, VIDIOC_DQBUF, &buffer);
  if (result < 0) return result;
  *index = buffer.index;
  *used = buffer.bytesused;
  *flags = buffer.flags;
  return 0;
}

int clinux_video_stream(int fd, int on) {
  int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  return control(fd, on ? VIDIOC_STREAMON : VIDIOC_STREAMOFF, &type);
}

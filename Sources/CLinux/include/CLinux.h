// What Linux and glibc offer and Swift's Glibc module does not show: epoll, eventfd, pidfd, ptys, variadic calls.
//
// Every function that can fail returns a value of zero or more, or the negative of an errno, as the kernel does: errno
// itself is gone by the time Swift could look at it. Calls interrupted by a signal are made again.
// _GNU_SOURCE is defined in the .c files only: in a header it would change the C types other modules see.
#ifndef CLINUX_H
#define CLINUX_H

#include <stddef.h>
#include <stdint.h>

// Errors (errors.c)
// The symbolic name of an errno, such as "ENOENT"; NULL for a number without one.
const char *clinux_error_name(int code);
// The C locale's sentence for an errno.
const char *clinux_error_text(int code);

// Descriptors (descriptors.c)
int clinux_open(const char *path, int flags, unsigned mode);
int clinux_close(int fd);
int clinux_duplicate(int fd, int lowest);
int clinux_set_nonblocking(int fd);
long clinux_read(int fd, void *buffer, size_t count);
long clinux_write(int fd, const void *buffer, size_t count);
long clinux_pread(int fd, void *buffer, size_t count, int64_t offset);
long clinux_pwrite(int fd, const void *buffer, size_t count, int64_t offset);
int clinux_pipe(int *reading, int *writing);
int clinux_memory_file(const char *name);
int clinux_eventfd(void);
int clinux_epoll_create(void);
enum { CLINUX_EPOLL_ADD = 1, CLINUX_EPOLL_DELETE = 2, CLINUX_EPOLL_MODIFY = 3 };
enum {
  CLINUX_IN = 0x001, CLINUX_OUT = 0x004, CLINUX_ERR = 0x008, CLINUX_HUP = 0x010, CLINUX_RDHUP = 0x2000,
};
// Registers one-shot (or level-triggered) interest; `token` comes back with the event.
int clinux_epoll_control(int epoll, int operation, int fd, uint32_t events, int oneShot, uint64_t token);
// Waits for so many nanoseconds; for ever when they are negative.
int clinux_epoll_wait(int epoll, uint32_t *events, uint64_t *tokens, int capacity, int64_t nanoseconds);
// The events of `fd` among `events` within the time; 0 when there were none.
int clinux_poll(int fd, int events, int milliseconds);

// Threads and signals (process.c)
int clinux_thread_start(const char *name, size_t stackSize, void (*body)(void *), void *context);
uint64_t clinux_thread_identity(void);
// From now on clinux_thread_interrupt makes a call that this thread blocks in return EINTR. The thread's number.
int clinux_thread_interruptible(void);
int clinux_thread_interrupt(int thread);
// From now on each arrival of the signals is one byte, its number, in the non-blocking pipe. One pipe for the process.
int clinux_signals_catch(int pipe, const int *signals, int count);
// Turns "die of SIGPIPE" into "EPIPE"; leaves a handler that is already there.
int clinux_ignore_broken_pipe(void);

// Processes (process.c)
// The child's process ID, and in *pidfd a descriptor for it. -1 lets it inherit a standard stream; others must be 3 or more.
int clinux_spawn(const char *path, char *const *arguments, char *const *environment, const char *directory,
                 int input, int output, int error, int *pidfd);
// Limits and confinement (sandbox.c)
int clinux_forbid_core_dumps(void);
// What holds of a confined program, for *layers.
enum { CLINUX_SANDBOX_NETWORK = 1, CLINUX_SANDBOX_FILES = 2, CLINUX_SANDBOX_ACCOUNT = 4 };
// As clinux_spawn, with all three descriptors given; the program may use so many seconds of a processor and so much memory.
int clinux_spawn_sandboxed(const char *path, char *const *arguments, char *const *environment, const char *directory,
                           int input, int output, int error, unsigned seconds, unsigned long long memory, int *pidfd,
                           unsigned *layers);
// 0: still running; 1: exited with *code; 2: ended by the signal *code. Reaps.
int clinux_pidfd_reap(int pidfd, int blocking, int *code);
int clinux_kill(int process, int signal);
int clinux_groups(uint32_t *groups, int capacity);
int clinux_user_name(uint32_t user, char *buffer, size_t capacity);
int clinux_user_id(const char *name, uint32_t *user);
int clinux_group_id(const char *name, uint32_t *group);
int clinux_host_name(char *buffer, size_t capacity);

// Sockets (sockets.c)
int clinux_unix_socket(void);
int clinux_unix_bind(int fd, const char *path);
int clinux_unix_connect(int fd, const char *path);
int clinux_unix_pair(int *one, int *other);
int clinux_listen(int fd, int backlog);
int clinux_accept(int fd);
int clinux_peer_credentials(int fd, int32_t *process, uint32_t *user, uint32_t *group);
int clinux_peer_groups(int fd, uint32_t *groups, int capacity);
int clinux_loopback_listen(uint16_t port, uint16_t *actual);
int clinux_loopback_connect(uint16_t port, int milliseconds);
int clinux_send_at_once(int fd);

// Files (files.c)
enum { CLINUX_KIND_OTHER, CLINUX_KIND_FILE, CLINUX_KIND_DIRECTORY, CLINUX_KIND_LINK, CLINUX_KIND_SOCKET,
       CLINUX_KIND_CHARACTER_DEVICE, CLINUX_KIND_FIFO };
struct clinux_status {
  uint64_t device, inode, size, deviceNumber;
  int64_t modifiedSeconds;
  uint32_t user, group, mode;
  int kind;
};
int clinux_status(const char *path, int followLinks, struct clinux_status *status);
int clinux_status_of(int fd, struct clinux_status *status);
int clinux_mkdir(const char *path, unsigned mode);
int clinux_mkdtemp(char *pattern);
int clinux_unlink(const char *path);
int clinux_rmdir(const char *path);
int clinux_rename(const char *from, const char *to);
int clinux_symlink(const char *target, const char *path);
int clinux_fsync(int fd);
int clinux_fdatasync(int fd);
// Has what was written to the file sent to the disk, and does not wait for it.
int clinux_begin_sync(int fd);
int clinux_chmod(const char *path, unsigned mode);
int clinux_fchmod(int fd, unsigned mode);
int clinux_chown(const char *path, uint32_t user, uint32_t group);
int clinux_truncate(int fd, uint64_t size);
int clinux_seek(int fd, int64_t offset, int fromEnd);
int clinux_flock(int fd);
int clinux_unlock(int fd);
int clinux_reserve(int fd, uint64_t bytes);
int clinux_free_space(const char *path, uint64_t *freeBytes, uint64_t *totalBytes, uint64_t *freeFiles);
int clinux_real_path(const char *path, char *buffer, size_t capacity);
int clinux_remove_tree(const char *path);
// A directory being read: NULL with *error set when it cannot be opened.
void *clinux_directory_open(const char *path, int *error);
const char *clinux_directory_next(void *directory, int *error);
void clinux_directory_close(void *directory);

// Terminals (terminals.c)
int clinux_pty_open(char *path, size_t capacity);
int clinux_terminal_width(int fd);
int clinux_is_terminal(int fd);
enum { CLINUX_FLOW_NONE, CLINUX_FLOW_HARDWARE, CLINUX_FLOW_SOFTWARE };
int clinux_serial_configure(int fd, int baud, int flow);
int clinux_serial_speed(int fd);
int clinux_serial_is_exclusive(int fd);
int clinux_serial_set_exclusive(int fd);
int clinux_serial_discard_input(int fd);
int clinux_serial_unsent(int fd);
enum { CLINUX_DTR = 0x002, CLINUX_RTS = 0x004, CLINUX_CTS = 0x020, CLINUX_CD = 0x040, CLINUX_RI = 0x080,
       CLINUX_DSR = 0x100 };
int clinux_serial_lines(int fd);
int clinux_serial_set_lines(int fd, int on, int off);

// Printers of the usblp driver (printers.c)
// The port's status byte.
int clinux_lp_status(int fd);
// The IEEE 1284 device id: two bytes of length, then text.
int clinux_lp_device_id(int fd, void *buffer, size_t capacity);
// 0 while the printer is plugged in, -ENODEV after; does not wait for the printer.
int clinux_lp_presence(int fd);

// HID interfaces, input devices and cameras (devices.c); the calls of linux/hidraw.h, linux/input.h and linux/videodev2.h
enum { CLINUX_HID_DESCRIPTOR = 4096, CLINUX_KEYS = 0x300 };
// Length of the report descriptor, at most CLINUX_HID_DESCRIPTOR bytes.
int clinux_hidraw_descriptor(int fd, uint8_t *buffer);
int clinux_hidraw_info(int fd, uint32_t *bus, uint16_t *vendor, uint16_t *product);
enum { CLINUX_HID_NAME, CLINUX_HID_PHYSICAL, CLINUX_HID_UNIQUE };
int clinux_hidraw_text(int fd, int which, char *buffer, size_t capacity);
// Bytes of the feature report, its number included; buffer[0] is the number asked for.
int clinux_hidraw_get_feature(int fd, uint8_t *buffer, size_t capacity);
int clinux_hidraw_set_feature(int fd, const uint8_t *report, size_t length);
// Whether it is an input device with keys: 1 or 0.
int clinux_input_has_keys(int fd);
int clinux_input_name(int fd, char *buffer, size_t capacity);
// One byte for each of CLINUX_KEYS keys: 1 while it is down. Key events that wait to be read are thrown away.
int clinux_input_keys_down(int fd, uint8_t *keys);
int clinux_input_grab(int fd, int on);
int clinux_input_use_monotonic_clock(int fd);
enum { CLINUX_VIDEO_CAPTURE = 0x1, CLINUX_VIDEO_STREAMING = 0x04000000, CLINUX_VIDEO_COMPRESSED = 1,
       CLINUX_VIDEO_ERROR = 0x40 };
// Capabilities of this node, not of the whole device.
int clinux_video_query(int fd, uint32_t *capabilities, char *card, size_t capacity);
int clinux_video_format(int fd, uint32_t index, uint32_t *code, uint32_t *flags);
struct clinux_video_size {
  uint32_t minimumWidth, maximumWidth, stepWidth, minimumHeight, maximumHeight, stepHeight;
};
// 1: the size is minimum = maximum, and others may follow; 0: a range, the only answer.
int clinux_video_size(int fd, uint32_t code, uint32_t index, struct clinux_video_size *size);
// What came of it stands in the arguments afterwards.
int clinux_video_set(int fd, uint32_t *code, uint32_t *width, uint32_t *height, uint32_t *lineSize,
                     uint32_t *imageSize);
// The number of buffers there are now.
int clinux_video_request(int fd, uint32_t count);
int clinux_video_map(int fd, uint32_t index, void **address, size_t *length);
void clinux_video_unmap(void *address, size_t length);
int clinux_video_queue(int fd, uint32_t index);
int clinux_video_take(int fd, uint32_t *index, uint32_t *used, uint32_t *flags);
int clinux_video_stream(int fd, int on);

// Text, time, randomness (misc.c)
long clinux_convert(const char *to, const char *from, const void *input, size_t length, void *output,
                    size_t capacity);
int clinux_convert_available(const char *to, const char *from);
void clinux_now(int64_t *seconds, int32_t *nanoseconds);
int32_t clinux_utc_offset(int64_t seconds);
uint64_t clinux_monotonic(void);
uint64_t clinux_boottime(void);
int clinux_clock_synchronised(void);
int clinux_random(void *buffer, size_t count);

// Devices that come and go (hotplug.c)
// A descriptor that becomes readable, and whose read fails, when the wall clock is set and when the machine resumes.
int clinux_clock_watch(void);
int clinux_clock_watch_again(int fd);
// Resets the port of the USB device whose node in /dev/bus/usb is open for writing; the kernel may take seconds.
int clinux_usb_reset(int fd);

#endif

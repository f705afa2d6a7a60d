/* Preloaded into a broker: makes writes and syncs of files below a directory fail, and notes what really happened, in order.
 *
 *   NETPAY_FAULT_UNDER   the directory
 *   NETPAY_FAULT_SWITCH  a file; while it exists, what it says fails: "write 3 once EIO" (the third write from then on),
 *                        "sync 1 lasting EIO" (every one from the first on), "sort 1 once ENOSPC" (either, by RocksDB's own
 *                        threads that sort files beside the writer; the others do not count those)
 *   NETPAY_FAULT_NOTES   a file that gets a line for each: "write NAME" and "sync NAME" (done), "answer" (about to be sent),
 *                        "fault MS NAME" (failed, by us or by itself)
 *
 * Made by the tests that use it, for them only. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const char ANSWER[] = "PUB _INBOX";
static const char *under, *orders, *notes;
static atomic_long counted;

__attribute__((constructor)) static void start(void) {
  under = getenv("NETPAY_FAULT_UNDER");
  orders = getenv("NETPAY_FAULT_SWITCH");
  notes = getenv("NETPAY_FAULT_NOTES");
}

/* Appended in one write, so that lines of several threads stay whole. By system calls, for the others are ours. */
static void note(const char *line) {
  if (!notes) return;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, notes, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return;
  (void)!syscall(SYS_write, fd, line, strlen(line));
  syscall(SYS_close, fd);
}

/* The name of an open file below the directory, or nothing. RocksDB's own diary does not count: nothing rests on it. */
static const char *name_of(int fd, char path[PATH_MAX]) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = under ? readlink(link, path, PATH_MAX - 1) : -1;
  if (length < 0) return NULL;
  path[length] = 0;
  if (strncmp(path, under, strlen(under)) != 0) return NULL;
  const char *name = strrchr(path, '/') + 1;
  return strncmp(name, "LOG", 3) == 0 ? NULL : name;
}

static void note_fault(const char *name) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  char line[PATH_MAX + 64];
  snprintf(line, sizeof line, "fault %lld %s\n", (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000, name);
  note(line);
}

static int is_sorting(void) {
  char thread[16] = {0};
  prctl(PR_GET_NAME, thread);
  return strncmp(thread, "rocksdb:low", 11) == 0;
}

/* The error that it is to fail with, or 0. */
static int is_to_fail(const char *operation) {
  char said[64] = {0}, which[16], how[16], error[16];
  long nth;
  int fd = orders ? (int)syscall(SYS_openat, AT_FDCWD, orders, O_RDONLY | O_CLOEXEC, 0) : -1;
  if (fd < 0) return 0;
  (void)!syscall(SYS_read, fd, said, sizeof said - 1);
  syscall(SYS_close, fd);
  if (sscanf(said, "%15s %ld %15s %15s", which, &nth, how, error) != 4) return 0;
  if (is_sorting() ? strcmp(which, "sort") != 0 : strcmp(which, operation) != 0) return 0;
  long now = atomic_fetch_add(&counted, 1) + 1;
  int fails = strcmp(how, "once") == 0 ? now == nth : now >= nth;
  return !fails ? 0 : strcmp(error, "ENOSPC") == 0 ? ENOSPC : EIO;
}

/* CALL on FD, unless it is to fail; noted under the name of OPERATION. */
#define GUARDED(OPERATION, FD, CALL)                        \
  do {                                                      \
    char path[PATH_MAX], line[PATH_MAX + 16];               \
    int before = errno;                                     \
    const char *name = name_of(FD, path);                   \
    if (!name) {                                            \
      errno = before;                                       \
      return CALL;                                          \
    }                                                       \
    int fails = is_to_fail(OPERATION);                      \
    errno = before;                                         \
    __typeof__(CALL) result = fails ? -1 : CALL;            \
    int error = fails ? fails : errno;                      \
    if (result < 0 && error != EINTR) note_fault(name);     \
    snprintf(line, sizeof line, OPERATION " %s\n", name);   \
    if (result >= 0) note(line);                            \
    errno = error;                                          \
    return result;                                          \
  } while (0)

#define REAL(NAME)                                          \
  static __typeof__(NAME) *real;                            \
  if (!real) real = (__typeof__(NAME) *)dlsym(RTLD_NEXT, #NAME)

static void note_answers(const void *buffer, size_t length) {
  const char *at = buffer, *end = at + length;
  while (at && at < end && (at = memmem(at, (size_t)(end - at), ANSWER, sizeof ANSWER - 1))) {
    note("answer\n");
    at += sizeof ANSWER - 1;
  }
}

ssize_t write(int fd, const void *buffer, size_t length) {
  REAL(write);
  note_answers(buffer, length);
  GUARDED("write", fd, real(fd, buffer, length));
}

ssize_t pwrite(int fd, const void *buffer, size_t length, off_t offset) {
  REAL(pwrite);
  GUARDED("write", fd, real(fd, buffer, length, offset));
}

ssize_t pwrite64(int fd, const void *buffer, size_t length, off64_t offset) {
  REAL(pwrite64);
  GUARDED("write", fd, real(fd, buffer, length, offset));
}

int fsync(int fd) {
  REAL(fsync);
  GUARDED("sync", fd, real(fd));
}

int fdatasync(int fd) {
  REAL(fdatasync);
  GUARDED("sync", fd, real(fd));
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(writev);
  for (int i = 0; i < count; i++) note_answers(parts[i].iov_base, parts[i].iov_len);
  GUARDED("write", fd, real(fd, parts, count));
}

ssize_t send(int fd, const void *buffer, size_t length, int flags) {
  REAL(send);
  note_answers(buffer, length);
  return real(fd, buffer, length, flags);
}

ssize_t sendto(int fd, const void *buffer, size_t length, int flags, const struct sockaddr *to, socklen_t size) {
  REAL(sendto);
  note_answers(buffer, length);
  return real(fd, buffer, length, flags, to, size);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  REAL(sendmsg);
  for (size_t i = 0; i < message->msg_iovlen; i++) note_answers(message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
  return real(fd, message, flags);
}

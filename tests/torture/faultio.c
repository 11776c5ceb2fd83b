/* Faults at the n-th call of one process that concerns its project, for LD_PRELOAD:
 *
 *   cc -shared -fPIC -O1 -o faultio.so faultio.c -ldl
 *
 * torture_arm("ACTION:N:ERRNO:LASTING:OPS:TRACE:PART:ROOT") or the same text in TORTURE_FAULT:
 *   ACTION   count | kill (SIGKILL before call N) | fail (call N returns ERRNO; with LASTING every later one as well)
 *   OPS      letters of the calls that count, see CALLS; "*" for all
 *   TRACE    file to note every counted call in, or nothing
 *   PART     what a path must hold to count, or nothing
 *   ROOT     calls on paths below it count, and those on internet sockets
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OFF, COUNT, KILL, FAIL };
/* CALLS: o open (to write)  w write  p pwrite  d fdatasync  f fsync  t ftruncate  a fallocate  l link  r rename
 *        u unlink  m mkdir  s send  v receive */

static int action = OFF, code, lasting, trace = -1;
static long wanted;
static char ops[64], part[256], root[1024];
static atomic_long counted;

static char *field(char **rest) {
  char *start = *rest, *end = start ? strchr(start, ':') : NULL;
  if (end) *end = 0;
  *rest = end ? end + 1 : NULL;
  return start ? start : "";
}

void torture_arm(const char *text) {
  static char copy[4096];
  strncpy(copy, text, sizeof copy - 1);
  char *rest = copy, *what = field(&rest);
  wanted = atol(field(&rest));
  code = atoi(field(&rest));
  lasting = atoi(field(&rest));
  strncpy(ops, field(&rest), sizeof ops - 1);
  char *log = field(&rest);
  strncpy(part, field(&rest), sizeof part - 1);
  strncpy(root, rest ? rest : "", sizeof root - 1);
  if (*log) trace = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  atomic_store(&counted, 0);
  action = !strcmp(what, "kill") ? KILL : !strcmp(what, "fail") ? FAIL : COUNT;
}

__attribute__((constructor)) static void start(void) {
  const char *text = getenv("TORTURE_FAULT");
  if (text && *text) torture_arm(text);
}

static int ours(const char *path) {
  return path && strncmp(path, root, strlen(root)) == 0 && (!*part || strstr(path, part));
}

/* Count a call; nonzero: it shall fail, errno is set. */
static int strikes(char op, const char *path) {
  if (ops[0] != '*' && !strchr(ops, op)) return 0;
  long number = atomic_fetch_add(&counted, 1) + 1;
  if (trace >= 0) {
    char line[1400];
    int length = snprintf(line, sizeof line, "%ld %c %s\n", number, op, path);
    if (length > 0) syscall(SYS_write, trace, line, (size_t)length);
  }
  if (action == KILL && number == wanted) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
  if (action == FAIL && (number == wanted || (lasting && number > wanted))) {
    errno = code;
    return 1;
  }
  return 0;
}

static int at_path(char op, int folder, const char *path) {
  char full[2048];
  if (action == OFF || !path) return 0;
  int kept = errno;
  if (path[0] == '/') {
    snprintf(full, sizeof full, "%s", path);
  } else {
    char name[64];
    if (folder == AT_FDCWD) snprintf(name, sizeof name, "/proc/self/cwd");
    else snprintf(name, sizeof name, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(name, full, 1000);
    if (length < 0) { errno = kept; return 0; }
    snprintf(full + length, sizeof full - (size_t)length, "/%s", path);
  }
  errno = kept;
  return ours(full) && strikes(op, full);
}

static int at_file(char op, int descriptor) {
  char name[64], full[2048];
  if (action == OFF) return 0;
  int kept = errno;
  snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(name, full, sizeof full - 1);
  errno = kept;
  if (length < 0) return 0;
  full[length] = 0;
  return ours(full) && strikes(op, full);
}

static int at_socket(char op, int descriptor) {
  struct sockaddr_storage address;
  socklen_t size = sizeof address;
  if (action == OFF || *part) return 0;
  int kept = errno, bad = getsockname(descriptor, (struct sockaddr *)&address, &size);
  errno = kept;
  if (bad || (address.ss_family != AF_INET && address.ss_family != AF_INET6)) return 0;
  return strikes(op, "socket");
}

/* No disk is too full for what has its place already. */
static int has_place(int fd, off_t end) {
  struct stat facts;
  int kept = errno, known = action == FAIL && code == ENOSPC && fstat(fd, &facts) == 0 && end <= facts.st_size;
  errno = kept;
  return known;
}

#define REAL(type, name, ...) \
  static type (*real)(__VA_ARGS__); \
  if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    REAL(int, #name, const char *, int, ...); \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    if ((flags & O_CREAT) && at_path('o', AT_FDCWD, path)) return -1; \
    return real(path, flags, mode); }
OPEN(open) OPEN(open64)
#define OPENAT(name) \
  int name(int folder, const char *path, int flags, ...) { \
    REAL(int, #name, int, const char *, int, ...); \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    if ((flags & O_CREAT) && at_path('o', folder, path)) return -1; \
    return real(folder, path, flags, mode); }
OPENAT(openat) OPENAT(openat64)

ssize_t write(int fd, const void *data, size_t size) {
  REAL(ssize_t, "write", int, const void *, size_t);
  return at_file('w', fd) ? -1 : real(fd, data, size);
}
#define PWRITE(name) \
  ssize_t name(int fd, const void *data, size_t size, off_t place) { \
    REAL(ssize_t, #name, int, const void *, size_t, off_t); \
    return !has_place(fd, place + (off_t)size) && at_file('p', fd) ? -1 : real(fd, data, size, place); }
PWRITE(pwrite) PWRITE(pwrite64)
#define BYFILE(name, op) \
  int name(int fd) { REAL(int, #name, int); return at_file(op, fd) ? -1 : real(fd); }
BYFILE(fsync, 'f') BYFILE(fdatasync, 'd')
#define TRUNCATE(name) \
  int name(int fd, off_t size) { REAL(int, #name, int, off_t); return !has_place(fd, size) && at_file('t', fd) ? -1 : real(fd, size); }
TRUNCATE(ftruncate) TRUNCATE(ftruncate64)
#define ALLOCATE(name) /* returns the error, and leaves errno alone */ \
  int name(int fd, off_t place, off_t size) { \
    REAL(int, #name, int, off_t, off_t); return at_file('a', fd) ? code : real(fd, place, size); }
ALLOCATE(posix_fallocate) ALLOCATE(posix_fallocate64)

int link(const char *from, const char *to) {
  REAL(int, "link", const char *, const char *);
  return at_path('l', AT_FDCWD, to) ? -1 : real(from, to);
}
int linkat(int folder, const char *from, int other, const char *to, int flags) {
  REAL(int, "linkat", int, const char *, int, const char *, int);
  return at_path('l', other, to) ? -1 : real(folder, from, other, to, flags);
}
int rename(const char *from, const char *to) {
  REAL(int, "rename", const char *, const char *);
  return at_path('r', AT_FDCWD, to) ? -1 : real(from, to);
}
int renameat(int folder, const char *from, int other, const char *to) {
  REAL(int, "renameat", int, const char *, int, const char *);
  return at_path('r', other, to) ? -1 : real(folder, from, other, to);
}
int unlink(const char *path) {
  REAL(int, "unlink", const char *);
  return at_path('u', AT_FDCWD, path) ? -1 : real(path);
}
int unlinkat(int folder, const char *path, int flags) {
  REAL(int, "unlinkat", int, const char *, int);
  return at_path('u', folder, path) ? -1 : real(folder, path, flags);
}
int mkdir(const char *path, mode_t mode) {
  REAL(int, "mkdir", const char *, mode_t);
  return at_path('m', AT_FDCWD, path) ? -1 : real(path, mode);
}
int mkdirat(int folder, const char *path, mode_t mode) {
  REAL(int, "mkdirat", int, const char *, mode_t);
  return at_path('m', folder, path) ? -1 : real(folder, path, mode);
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
  REAL(ssize_t, "send", int, const void *, size_t, int);
  return at_socket('s', fd) ? -1 : real(fd, data, size, flags);
}
ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
  REAL(ssize_t, "sendto", int, const void *, size_t, int, const struct sockaddr *, socklen_t);
  return at_socket('s', fd) ? -1 : real(fd, data, size, flags, to, length);
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  REAL(ssize_t, "sendmsg", int, const struct msghdr *, int);
  return at_socket('s', fd) ? -1 : real(fd, message, flags);
}
ssize_t recv(int fd, void *data, size_t size, int flags) {
  REAL(ssize_t, "recv", int, void *, size_t, int);
  return at_socket('v', fd) ? -1 : real(fd, data, size, flags);
}
ssize_t recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *from, socklen_t *length) {
  REAL(ssize_t, "recvfrom", int, void *, size_t, int, struct sockaddr *, socklen_t *);
  return at_socket('v', fd) ? -1 : real(fd, data, size, flags, from, length);
}
ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
  REAL(ssize_t, "recvmsg", int, struct msghdr *, int);
  return at_socket('v', fd) ? -1 : real(fd, message, flags);
}

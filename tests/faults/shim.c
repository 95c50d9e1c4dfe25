/* Counts the calls by which a process changes files under a folder, and makes one of them fail or the last.
 *
 * Loaded with LD_PRELOAD. Nothing happens until fault_arm is called, so that a process can load its libraries first.
 * Modes: 0 count only; 1 die before the call; 2 do half of it (a write), or all of it, then die; 3 from the call
 * on the disk is full; 4 from the call on nothing may be changed; 5 this one call fails with an input/output error.
 * After fault_share, the programs that the process starts are counted with it, and die with it: they find the
 * shared state by the variable BENCH_FAULTS, and are of one process group.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { COUNT, KILL, HALF, FULL, DENIED, BROKEN };
enum { NAMES = 1, SPACE = 2 }; /* what a call needs: the right to change names, room on the disk */

struct state { char root[PATH_MAX]; size_t root_length; int mode, group; long target, counted; };
static struct state own = {.mode = -1}, *now = &own;
static int log_fd = -1;

void fault_share(const char *file) {
    int fd = open(file, O_RDWR | O_CLOEXEC);
    void *found = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof own, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (found == MAP_FAILED) abort();
    close(fd);
    now = found;
}
__attribute__((constructor)) static void join(void) {
    const char *file = getenv("BENCH_FAULTS");
    if (file) fault_share(file);
}
void fault_arm(const char *folder, int how, long at, int log) {
    if (!realpath(folder, now->root)) abort();
    now->root_length = strlen(now->root);
    now->target = at; now->counted = 0; now->group = now != &own; log_fd = log;
    now->mode = how;
}
long fault_count(void) { return now->counted; }
void fault_disarm(void) { now->mode = -1; }
size_t fault_size(void) { return sizeof own; }

static void die(void) { kill(now->group ? 0 : getpid(), SIGKILL); for (;;) pause(); }

static int path_of(int fd, char *out) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, PATH_MAX - 1);
    if (n < 0) return 0;
    out[n] = 0;
    return 1;
}

static int full_path(int at, const char *path, char *out) {
    if (path[0] == '/') { snprintf(out, PATH_MAX, "%s", path); return 1; }
    char folder[PATH_MAX];
    if (at == AT_FDCWD) { if (!getcwd(folder, sizeof folder)) return 0; }
    else if (!path_of(at, folder)) return 0;
    int n = snprintf(out, PATH_MAX, "%s/%s", folder, path);
    return n > 0 && n < PATH_MAX;
}

/* 0: go on; 1: fail with errno; 2: do half, then die. */
static int judge(const char *op, const char *path, int needs) {
    size_t n = now->root_length;
    if (now->mode < 0 || strncmp(path, now->root, n) || (path[n] != '/' && path[n])) return 0;
    long at = __atomic_add_fetch(&now->counted, 1, __ATOMIC_SEQ_CST);
    if (log_fd >= 0) dprintf(log_fd, "%s %s\n", op, path + n);
    if (now->mode == KILL && at == now->target) die();
    if (now->mode == HALF && at == now->target) return 2;
    if (now->mode == FULL && at >= now->target && (needs & SPACE)) { errno = ENOSPC; return 1; }
    if (now->mode == DENIED && at >= now->target && (needs & NAMES)) { errno = EACCES; return 1; }
    if (now->mode == BROKEN && at == now->target) { errno = EIO; return 1; }
    return 0;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name)
#define AFTER(result) do { __typeof__(result) r_ = (result); if (what == 2) die(); return r_; } while (0)
#define BY_PATH(op, at, path, needs) \
    char full_[PATH_MAX]; int what = full_path(at, path, full_) ? judge(op, full_, needs) : 0; \
    if (what == 1) return -1
#define BY_FD(op, fd, needs) \
    char full_[PATH_MAX]; int what = now->mode >= 0 && path_of(fd, full_) ? judge(op, full_, needs) : 0; \
    if (what == 1) return -1

#define CHANGES(flags) (((flags) & O_ACCMODE) != O_RDONLY || ((flags) & (O_CREAT | O_TRUNC)))
#define MODE_OF(flags) mode_t m = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list a; va_start(a, flags); m = va_arg(a, mode_t); va_end(a); }

int open(const char *p, int flags, ...) {
    REAL(open); MODE_OF(flags);
    if (!CHANGES(flags)) return real(p, flags, m);
    BY_PATH("open", AT_FDCWD, p, NAMES | ((flags & O_CREAT) ? SPACE : 0)); AFTER(real(p, flags, m));
}
int open64(const char *p, int flags, ...) {
    REAL(open64); MODE_OF(flags);
    if (!CHANGES(flags)) return real(p, flags, m);
    BY_PATH("open", AT_FDCWD, p, NAMES | ((flags & O_CREAT) ? SPACE : 0)); AFTER(real(p, flags, m));
}
int openat(int d, const char *p, int flags, ...) {
    REAL(openat); MODE_OF(flags);
    if (!CHANGES(flags)) return real(d, p, flags, m);
    BY_PATH("open", d, p, NAMES | ((flags & O_CREAT) ? SPACE : 0)); AFTER(real(d, p, flags, m));
}
FILE *fopen(const char *p, const char *how) {
    REAL(fopen);
    if (!strpbrk(how, "wa+")) return real(p, how);
    char full[PATH_MAX];
    int what = full_path(AT_FDCWD, p, full) ? judge("open", full, NAMES | SPACE) : 0;
    if (what == 1) return NULL;
    AFTER(real(p, how));
}
FILE *fopen64(const char *p, const char *how) {
    REAL(fopen64);
    if (!strpbrk(how, "wa+")) return real(p, how);
    char full[PATH_MAX];
    int what = full_path(AT_FDCWD, p, full) ? judge("open", full, NAMES | SPACE) : 0;
    if (what == 1) return NULL;
    AFTER(real(p, how));
}
ssize_t write(int fd, const void *b, size_t n) {
    REAL(write); BY_FD("write", fd, SPACE);
    if (what == 2) { real(fd, b, n / 2); die(); }
    return real(fd, b, n);
}
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) {
    REAL(pwrite); BY_FD("write", fd, SPACE);
    if (what == 2) { real(fd, b, n / 2, o); die(); }
    return real(fd, b, n, o);
}
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) {
    REAL(pwrite64); BY_FD("write", fd, SPACE);
    if (what == 2) { real(fd, b, n / 2, o); die(); }
    return real(fd, b, n, o);
}
ssize_t sendfile(int out, int in, off_t *o, size_t n);
ssize_t sendfile(int out, int in, off_t *o, size_t n) {
    REAL(sendfile); BY_FD("write", out, SPACE);
    if (what == 2) { real(out, in, o, n > 4096 ? 4096 : n / 2); die(); }
    return real(out, in, o, n);
}
ssize_t sendfile64(int out, int in, off64_t *o, size_t n);
ssize_t sendfile64(int out, int in, off64_t *o, size_t n) {
    REAL(sendfile64); BY_FD("write", out, SPACE);
    if (what == 2) { real(out, in, o, n > 4096 ? 4096 : n / 2); die(); }
    return real(out, in, o, n);
}
int fsync(int fd) { REAL(fsync); BY_FD("fsync", fd, SPACE); AFTER(real(fd)); }
int fdatasync(int fd) { REAL(fdatasync); BY_FD("fsync", fd, SPACE); AFTER(real(fd)); }
int ftruncate(int fd, off_t n) { REAL(ftruncate); BY_FD("truncate", fd, SPACE); AFTER(real(fd, n)); }
int ftruncate64(int fd, off64_t n) { REAL(ftruncate64); BY_FD("truncate", fd, SPACE); AFTER(real(fd, n)); }
int posix_fallocate(int fd, off_t o, off_t n) {
    REAL(posix_fallocate);
    char full[PATH_MAX];
    int what = now->mode >= 0 && path_of(fd, full) ? judge("truncate", full, SPACE) : 0;
    if (what == 1) return errno;
    AFTER(real(fd, o, n));
}
int posix_fallocate64(int fd, off64_t o, off64_t n) {
    REAL(posix_fallocate64);
    char full[PATH_MAX];
    int what = now->mode >= 0 && path_of(fd, full) ? judge("truncate", full, SPACE) : 0;
    if (what == 1) return errno;
    AFTER(real(fd, o, n));
}
int rename(const char *a, const char *b) {
    REAL(rename); BY_PATH("rename", AT_FDCWD, b, NAMES | SPACE); AFTER(real(a, b));
}
int renameat(int x, const char *a, int y, const char *b) {
    REAL(renameat); BY_PATH("rename", y, b, NAMES | SPACE); AFTER(real(x, a, y, b));
}
int renameat2(int x, const char *a, int y, const char *b, unsigned f) {
    REAL(renameat2); BY_PATH("exchange", y, b, NAMES | SPACE); AFTER(real(x, a, y, b, f));
}
int link(const char *a, const char *b) { REAL(link); BY_PATH("link", AT_FDCWD, b, NAMES | SPACE); AFTER(real(a, b)); }
int linkat(int x, const char *a, int y, const char *b, int f) {
    REAL(linkat); BY_PATH("link", y, b, NAMES | SPACE); AFTER(real(x, a, y, b, f));
}
int symlink(const char *a, const char *b) { REAL(symlink); BY_PATH("link", AT_FDCWD, b, NAMES | SPACE); AFTER(real(a, b)); }
int unlink(const char *p) { REAL(unlink); BY_PATH("unlink", AT_FDCWD, p, NAMES); AFTER(real(p)); }
int unlinkat(int d, const char *p, int f) { REAL(unlinkat); BY_PATH("unlink", d, p, NAMES); AFTER(real(d, p, f)); }
int rmdir(const char *p) { REAL(rmdir); BY_PATH("unlink", AT_FDCWD, p, NAMES); AFTER(real(p)); }
int mkdir(const char *p, mode_t m) { REAL(mkdir); BY_PATH("mkdir", AT_FDCWD, p, NAMES | SPACE); AFTER(real(p, m)); }
int mkdirat(int d, const char *p, mode_t m) { REAL(mkdirat); BY_PATH("mkdir", d, p, NAMES | SPACE); AFTER(real(d, p, m)); }
int chmod(const char *p, mode_t m) { REAL(chmod); BY_PATH("chmod", AT_FDCWD, p, NAMES); AFTER(real(p, m)); }
int fchmod(int fd, mode_t m) { REAL(fchmod); BY_FD("chmod", fd, NAMES); AFTER(real(fd, m)); }
int fchmodat(int d, const char *p, mode_t m, int f) { REAL(fchmodat); BY_PATH("chmod", d, p, NAMES); AFTER(real(d, p, m, f)); }

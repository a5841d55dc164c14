/* Stands between SQLite and the disk: fails the n-th write or sync of a log's files, or keeps a journal of all of them.

   FAULT_FILES  part of the path of the files that count
   FAULT_AT     the call that fails, counted from 1
   FAULT_KIND   enospc, eio or short (writes), sync (fsync and fdatasync)
   FAULT_LOG    where the journal goes: one record a call: kind, file, offset, length, data
   FAULT_COUNT  where the number of calls goes */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int calls, journal = -1, ready;
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_fsync)(int), (*real_fdatasync)(int), (*real_ftruncate)(int, off_t);

static void begin(void) {
    if (ready) return;
    ready = 1;
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    const char *path = getenv("FAULT_LOG");
    if (path) journal = open(path, O_CREAT | O_WRONLY | O_APPEND, 0600);
}

static int counts(int fd, char *name, size_t size) {
    const char *wanted = getenv("FAULT_FILES");
    char link[64];
    if (!wanted) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, size - 1);
    if (length < 0) return 0;
    name[length] = 0;
    return strstr(name, wanted) != NULL && !strstr(name, "-shm");
}

static void note(char kind, const char *name, int64_t offset, const void *data, int64_t length) {
    if (journal < 0) return;
    uint32_t named = strlen(name);
    real_write(journal, &kind, 1);
    real_write(journal, &named, 4);
    real_write(journal, name, named);
    real_write(journal, &offset, 8);
    real_write(journal, &length, 8);
    if (data) real_write(journal, data, length);
}

static int fails(int sync) {
    const char *at = getenv("FAULT_AT"), *kind = getenv("FAULT_KIND"), *count = getenv("FAULT_COUNT");
    int wants_sync = kind && !strcmp(kind, "sync");
    if (wants_sync != sync) return 0;
    calls++;
    if (count) {
        char text[16];
        int fd = open(count, O_CREAT | O_WRONLY | O_TRUNC, 0600), length = snprintf(text, sizeof text, "%d", calls);
        real_write(fd, text, length);
        close(fd);
    }
    return at && calls == atoi(at);
}

static ssize_t put(int fd, const void *data, size_t length, off_t offset) {
    char name[512];
    begin();
    if (!counts(fd, name, sizeof name)) return real_pwrite(fd, data, length, offset);
    if (fails(0)) {
        const char *kind = getenv("FAULT_KIND");
        if (!strcmp(kind, "short")) {
            real_pwrite(fd, data, length / 2, offset);
            note('w', name, offset, data, length / 2);
            errno = ENOSPC;
            return -1;
        }
        errno = strcmp(kind, "eio") ? ENOSPC : EIO;
        return -1;
    }
    note('w', name, offset, data, length);
    return real_pwrite(fd, data, length, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return put(fd, data, length, offset); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return put(fd, data, length, offset); }

static int flush(int fd, int (*real)(int)) {
    char name[512];
    if (!counts(fd, name, sizeof name)) return real(fd);
    if (fails(1)) {
        errno = EIO;
        return -1;
    }
    note('s', name, 0, NULL, 0);
    return real(fd);
}

int fsync(int fd) { begin(); return flush(fd, real_fsync); }
int fdatasync(int fd) { begin(); return flush(fd, real_fdatasync); }

static int cut(int fd, off_t length) {
    char name[512];
    begin();
    if (counts(fd, name, sizeof name)) note('t', name, length, NULL, 0);
    return real_ftruncate(fd, length);
}

int ftruncate64(int fd, off64_t length) { return cut(fd, length); }
int ftruncate(int fd, off_t length) { return cut(fd, length); }

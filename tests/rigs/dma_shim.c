/* libcamera's virtual pipeline wants buffers from /dev/udmabuf or a DMA heap, which containers have not.
 * Preloaded, this gives it memory files instead: mmap does the same with them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct udmabuf_create { uint32_t memfd, flags; uint64_t offset, size; };
struct heap_allocation { uint64_t length; uint32_t fd, fd_flags; uint64_t heap_flags; };

#define CREATE_UDMABUF ((uint32_t)_IOW('u', 0x42, struct udmabuf_create))
#define ALLOCATE_FROM_HEAP ((uint32_t)_IOWR('H', 0, struct heap_allocation))
#define SYNC_DMA_BUFFER ((uint32_t)_IOW('b', 0, uint64_t))
#define NAME_DMA_BUFFER_TYPE 'b'

static int gives_buffers(const char *path) {
    static const char *const known[] = {"/dev/udmabuf", "/dev/dma_heap/linux,cma", "/dev/dma_heap/system"};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (path && !strcmp(path, known[k])) return 1;
    return 0;
}

#define REPLACE_OPEN(name)                                                                  \
    int name(const char *path, int flags, ...) {                                            \
        static int (*real)(const char *, int, ...);                                         \
        mode_t mode = 0;                                                                    \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                \
            va_list rest;                                                                   \
            va_start(rest, flags);                                                          \
            mode = va_arg(rest, int);                                                       \
            va_end(rest);                                                                   \
        }                                                                                   \
        if (gives_buffers(path)) return memfd_create("dma-shim", MFD_CLOEXEC);              \
        if (!real) real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name);         \
        return real(path, flags, mode);                                                     \
    }
REPLACE_OPEN(open)
REPLACE_OPEN(open64)

int ioctl(int fd, unsigned long request, ...) {
    static int (*real)(int, unsigned long, void *);
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    uint32_t code = (uint32_t)request;
    if (code == CREATE_UDMABUF) return fcntl(((struct udmabuf_create *)argument)->memfd, F_DUPFD_CLOEXEC, 0);
    if (code == ALLOCATE_FROM_HEAP) {
        struct heap_allocation *wanted = argument;
        int made = memfd_create("dma-shim-buffer", MFD_CLOEXEC);
        if (made < 0) return -1;
        if (ftruncate(made, (off_t)wanted->length) < 0) { close(made); return -1; }
        wanted->fd = (uint32_t)made;
        return 0;
    }
    if (_IOC_TYPE(code) == NAME_DMA_BUFFER_TYPE && _IOC_NR(code) == 1) return 0;
    if (!real) real = (int (*)(int, unsigned long, void *))dlsym(RTLD_NEXT, "ioctl");
    int result = real(fd, request, argument);
    if (code == SYNC_DMA_BUFFER && result < 0 && (errno == ENOTTY || errno == EINVAL)) return 0;
    return result;
}

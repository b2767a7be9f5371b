/* Steps the wall clock of one process by whole seconds, and nothing else: what sleeps or waits goes by other clocks.
 *
 * To be preloaded (LD_PRELOAD). The seconds stand in the first eight bytes of the file that TRACKER_TEST_CLOCK names, as a native integer;
 * they may change at any time.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *step;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TRACKER_TEST_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    *(void **)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    if (file >= 0) {
        void *mapped = mmap(NULL, sizeof *step, PROT_READ, MAP_SHARED, file, 0);
        close(file);
        if (mapped != MAP_FAILED)
            step = mapped;
    }
}

int clock_gettime(clockid_t id, struct timespec *now) {
    if (!real_clock_gettime)
        begin();
    int failed = real_clock_gettime(id, now);
    if (!failed && step && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        now->tv_sec += *step;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now)
        *now = precise.tv_sec;
    return precise.tv_sec;
}

/* A wall clock that can be set for one process alone: its offset in seconds is the number in $CLOCK_FILE. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static volatile long *offset(void)
{
	static volatile long *mapped;
	static volatile long none;
	const char *path = getenv("CLOCK_FILE");

	if (!mapped && path) {
		void *at = mmap(NULL, sizeof *mapped, PROT_READ, MAP_SHARED, open(path, O_RDONLY | O_CLOEXEC), 0);
		mapped = at == MAP_FAILED ? &none : at;
	}
	return mapped ? mapped : &none;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	static int (*real)(clockid_t, struct timespec *);

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int result = real(clock, time);
	if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		time->tv_sec += *offset();
	return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	int result = clock_gettime(CLOCK_REALTIME, &now);
	time->tv_sec = now.tv_sec;
	time->tv_usec = now.tv_nsec / 1000;
	return result;
}

/*
 * A libFuzzer target: any bytes as the argument vector that the shim's child reads from a memory file.
 * Mappings become allocations of just their size, so that the address sanitizer sees every step beyond.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static jmp_buf refused;
static struct { char *bytes; size_t size; } mappings[2];
static size_t mapping_count;

static void *allocate(size_t size, int file)
{
	char *bytes = calloc(1, size);

	if (!bytes || mapping_count == sizeof mappings / sizeof *mappings)
		abort();
	if (file >= 0 && pread(file, bytes, size, 0) != (ssize_t)size)
		abort();
	mappings[mapping_count].bytes = bytes;
	mappings[mapping_count++].size = size;
	return bytes;
}

static _Noreturn void leave(int status)
{
	longjmp(refused, status);
}

#define mmap(at, size, protection, flags, file, offset) allocate(size, file)
#define _exit(status) leave(status)

#include "../../native/shim/process.c"
#include "../../native/shim/report.c"

/* Of the link and the slots only this is needed here, and is never called. */
void link_send(struct shim *shim, const void *message, size_t length, const int *fds, size_t fd_count)
{
	(void)shim, (void)message, (void)length, (void)fds, (void)fd_count;
}

void tell_exited(struct shim *shim, enum role role)
{
	(void)shim, (void)role;
}

int slot_keep(struct shim *shim, uint32_t id, int fd)
{
	(void)shim, (void)id, (void)fd;
	return 0;
}

void close_between(int first, int last)
{
	(void)first, (void)last;
}

/* What was accepted is what was written: so many strings, each of which ends inside of the file. */
static void check(char **vector, const uint8_t *input, size_t size)
{
	const char *begin = mappings[0].bytes, *end = begin + size;
	uint32_t count;
	size_t found = 0;

	memcpy(&count, input, sizeof count);
	for (; vector[found]; found++)
		if (vector[found] < begin + sizeof count || vector[found] + strlen(vector[found]) >= end)
			abort();
	if (found != count || count == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	static int file;

	if (file == 0)
		file = memfd_create("arguments", MFD_CLOEXEC);
	mapping_count = 0;
	if (ftruncate(file, 0) < 0 || pwrite(file, input, size, 0) != (ssize_t)size)
		abort();
	if (setjmp(refused) == 0)
		check(child_arguments(file), input, size);
	for (size_t i = 0; i < mapping_count; i++)
		free(mappings[i].bytes);
	return 0;
}

/* Strings and numbers as the C library has them, as far as the shim uses them: short rather than fast. */
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef __clang__
/* GCC would see that a loop copies memory, and call the very function that it is in. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#endif

void *memcpy(void *restrict into, const void *restrict from, size_t size)
{
	unsigned char *to = into;

	for (const unsigned char *at = from; size > 0; size--)
		*to++ = *at++;
	return into;
}

void *memset(void *into, int value, size_t size)
{
	for (unsigned char *at = into; size > 0; size--)
		*at++ = (unsigned char)value;
	return into;
}

size_t strlen(const char *text)
{
	size_t length = 0;

	while (text[length])
		length++;
	return length;
}

char *strcpy(char *restrict into, const char *restrict from)
{
	return memcpy(into, from, strlen(from) + 1);
}

int strncmp(const char *one, const char *other, size_t most)
{
	size_t at = 0;

	while (at < most && one[at] && one[at] == other[at])
		at++;
	return at == most ? 0 : (unsigned char)one[at] - (unsigned char)other[at];
}

int strcmp(const char *one, const char *other)
{
	return strncmp(one, other, SIZE_MAX);
}

char *strchr(const char *text, int wanted)
{
	for (; *text != (char)wanted; text++)
		if (!*text)
			return NULL;
	return (char *)text;
}

char *strrchr(const char *text, int wanted)
{
	const char *found = NULL;

	for (; *text; text++)
		if (*text == (char)wanted)
			found = text;
	return (char *)found;
}

size_t strspn(const char *text, const char *accepted)
{
	size_t length = 0;

	while (text[length] && strchr(accepted, text[length]))
		length++;
	return length;
}

char *getenv(const char *name)
{
	extern char **environ;
	size_t length = strlen(name);

	for (char **variable = environ; *variable; variable++)
		if (strncmp(*variable, name, length) == 0 && (*variable)[length] == '=')
			return *variable + length + 1;
	return NULL;
}

/* Decimal numbers only, which is all that the shim reads. */
long strtol(const char *restrict text, char **restrict end, int base)
{
	const char *at = text + (*text == '-');
	long number = 0;

	(void)base;
	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, *at - '0', &number)) {
			number = LONG_MAX;
			errno = ERANGE;
		}
	/* A lone sign is no number. */
	if (end)
		*end = (char *)(at == text + 1 && *text == '-' ? text : at);
	return *text == '-' ? -number : number;
}

/* Those that the shim's own calls are likely to meet. */
char *strerror(int error)
{
	static const struct { int number; const char *text; } known[] = {
		{ E2BIG, "Argument list too long" },
		{ EACCES, "Permission denied" },
		{ EAGAIN, "Resource temporarily unavailable" },
		{ EBADF, "Bad file descriptor" },
		{ ECHILD, "No child processes" },
		{ EFAULT, "Bad address" },
		{ EINVAL, "Invalid argument" },
		{ EIO, "Input/output error" },
		{ EISDIR, "Is a directory" },
		{ ELOOP, "Too many levels of symbolic links" },
		{ EMFILE, "Too many open files" },
		{ ENAMETOOLONG, "File name too long" },
		{ ENFILE, "Too many open files in system" },
		{ ENODEV, "No such device" },
		{ ENOENT, "No such file or directory" },
		{ ENOEXEC, "Exec format error" },
		{ ENOMEM, "Cannot allocate memory" },
		{ ENOSPC, "No space left on device" },
		{ ENOSYS, "Function not implemented" },
		{ ENOTDIR, "Not a directory" },
		{ EPERM, "Operation not permitted" },
		{ EROFS, "Read-only file system" },
		{ ESRCH, "No such process" },
		{ ETXTBSY, "Text file busy" },
	};
	static char unknown[] = "error ....";

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (known[i].number == error)
			return (char *)known[i].text;
	for (size_t i = sizeof unknown - 2; unknown[i] != ' '; i--, error /= 10)
		unknown[i] = (char)('0' + error % 10);
	return unknown;
}

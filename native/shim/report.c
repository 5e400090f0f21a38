/* Words to the caller, without stdio: it would cost more memory than the shim. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "shim.h"

/* Writes all of a text; whoever closed the other end does not want it. */
void write_all(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t written = write(fd, text, length);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return;
		text += written;
		length -= (size_t)written;
	}
}

static size_t append(char *line, size_t at, size_t size, const char *text)
{
	while (*text && at < size)
		line[at++] = *text++;
	return at;
}

/* "LEVEL WHAT ON: REASON" on stderr; `on` may be NULL, `error` 0. */
static void say(const char *level, const char *what, const char *on, int error)
{
	char line[1024];
	size_t room = sizeof line - 1, at = append(line, 0, room, level);

	at = append(line, at, room, what);
	if (on) {
		at = append(line, at, room, " ");
		at = append(line, at, room, on);
	}
	if (error) {
		at = append(line, at, room, ": ");
		at = append(line, at, room, strerror(error));
	}
	line[at++] = '\n';
	write_all(STDERR_FILENO, line, at);
}

void complain(const char *what, const char *on, int error)
{
	say("[conmon:e]: ", what, on, error);
}

/* Something is wrong, but the container is going to be started all the same. */
void warn(const char *what, const char *on)
{
	say("[conmon:w]: ", what, on, 0);
}

/* Decimal digits and a NUL; 21 bytes are always enough. Returns the digits' count. */
size_t put_number(char *into, long long number)
{
	char digits[20];
	size_t count = 0, at = 0;
	unsigned long long rest = number < 0 ? -(unsigned long long)number : (unsigned long long)number;

	do
		digits[count++] = (char)('0' + rest % 10);
	while ((rest /= 10) > 0);
	if (number < 0)
		into[at++] = '-';
	while (count > 0)
		into[at++] = digits[--count];
	into[at] = '\0';
	return at;
}

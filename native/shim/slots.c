/*
 * The descriptors that must outlive conmond: the container's pipes, the
 * caller's pipes, and whatever conmond deposits (listening sockets, clients,
 * its notebook). The shim knows them by number only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim.h"

#ifndef SYS_close_range
#define SYS_close_range 436 /* the same on every architecture */
#endif

static struct slot_entry *find(struct shim *shim, uint32_t id)
{
	for (size_t i = 0; i < SLOTS_MAX; i++)
		if (shim->slots[i].id == id)
			return &shim->slots[i];
	return NULL;
}

/* Takes over `fd`, in the place of what the slot held. 0 or an errno (the fd stays the caller's). */
int slot_keep(struct shim *shim, uint32_t id, int fd)
{
	struct slot_entry *entry = find(shim, id);

	if (entry)
		close(entry->fd);
	else if (!(entry = find(shim, 0)))
		return ENOSPC;
	*entry = (struct slot_entry){ .id = id, .fd = fd };
	return 0;
}

int slot_get(const struct shim *shim, uint32_t id)
{
	const struct slot_entry *entry = find((struct shim *)shim, id);
	return entry ? entry->fd : -1;
}

bool slot_drop(struct shim *shim, uint32_t id)
{
	struct slot_entry *entry = find(shim, id);

	if (!entry)
		return false;
	close(entry->fd);
	*entry = (struct slot_entry){ 0 };
	return true;
}

/* All from `first` to `last`, which need not be open. */
void close_between(int first, int last)
{
	struct rlimit limit;

	if (first > last || syscall(SYS_close_range, (unsigned)first, (unsigned)last, 0) == 0)
		return;
	/* A kernel before 5.9. */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= (rlim_t)last)
		last = (int)limit.rlim_cur - 1;
	for (int fd = first; fd <= last; fd++)
		close(fd);
}

/*
 * Closes what the caller let us inherit: everything above stderr that is not
 * known to be ours. Podman parks the container's bound ports there, and they
 * must be free before the exit is reported.
 */
void close_inherited(struct shim *shim)
{
	int own[SLOTS_MAX + 4], count = 0;
	const int rest[] = { shim->link, shim->signals, shim->verdict, shim->container_pidfd };

	for (size_t i = 0; i < SLOTS_MAX; i++)
		if (shim->slots[i].id)
			own[count++] = shim->slots[i].fd;
	for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
		if (rest[i] >= 0)
			own[count++] = rest[i];
	for (int i = 1; i < count; i++) /* insertion sort: the list is short and done once */
		for (int k = i; k > 0 && own[k] < own[k - 1]; k--) {
			int swap = own[k];
			own[k] = own[k - 1];
			own[k - 1] = swap;
		}

	int first = STDERR_FILENO + 1;
	for (int i = 0; i < count; i++) {
		close_between(first, own[i] - 1);
		if (own[i] >= first)
			first = own[i] + 1;
	}
	close_between(first, INT_MAX);
	shim->inherited_closed = true;
}

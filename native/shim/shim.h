/* What the files of the shim share: its whole state and the doors between them. */
#ifndef CONMON_SHIM_H
#define CONMON_SHIM_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "protocol.h"

struct process {
	enum process_state state;
	pid_t pid;
	int status; /* as waitpid() gives it */
};

struct slot_entry {
	uint32_t id; /* 0: free */
	int fd;
};

/* Who thinks for us at the moment. */
enum link_state {
	LINK_DOWN,    /* nobody; next_attempt says when to try again */
	LINK_GREETED, /* hello is out, no answer yet; bounded by answer_by */
	LINK_UP
};

/* Where the one at the other end comes from. */
enum link_kind {
	LINK_SHARED,  /* it was there, and has others to serve */
	LINK_STARTED, /* a shared one that we have started (CONMOND=auto); it is not our child */
	LINK_PRIVATE  /* our own child, for us alone */
};

struct shim {
	int argc;
	char **argv;
	char **environ;

	bool sync;
	bool released;
	bool keep_stdio;
	bool inherited_closed;
	bool helloed;        /* some conmond has answered before */
	pid_t caller;        /* the process that the caller started */
	int verdict;         /* write end of the pipe to it; -1 with --sync or once released */
	sigset_t caller_mask;
	int signals;         /* signalfd */
	char oom_score[8];   /* the caller's oom_score_adj, "" when unknown */

	struct process processes[ROLE_COUNT]; /* by enum role */
	int container_pidfd;
	bool reap_strangers; /* the container's pid is known: unknown zombies are nobody's */
	bool exit_command_ran;
	int unheeded_signal; /* came when there was no process to hand it to */
	uint32_t reported;   /* bit mask: what the caller has been told, once and for all */

	struct slot_entry slots[SLOTS_MAX];

	enum link_state link_state;
	int link;              /* socket to conmond, -1 when down */
	enum link_kind link_kind;
	pid_t conmond;         /* the private one, 0 when there is none */
	bool avoid_shared;     /* the shared one has just refused or failed us */
	bool tried_start;      /* a shared one was started, and none has said a word since */
	bool tried_again;      /* one has hung up without a word, and none has said a word since */
	long long answer_by;   /* milliseconds of CLOCK_MONOTONIC */
	long long ready_by;    /* when the caller has to have been let go */
	long long next_attempt;
	long long since;       /* when the link was made */
	int failures;          /* links lost in a row that did not last */
};

/* report.c: words to the caller */
void complain(const char *what, const char *on, int error);
void warn(const char *what, const char *on);
void write_all(int fd, const char *text, size_t length);
size_t put_number(char *into, long long number);

/* slots.c: descriptors kept for conmond */
int slot_keep(struct shim *shim, uint32_t id, int fd);
int slot_get(const struct shim *shim, uint32_t id);
bool slot_drop(struct shim *shim, uint32_t id);
void close_between(int first, int last);
void close_inherited(struct shim *shim);

/* process.c: children */
int spawn(struct shim *shim, enum role role, uint32_t flags, int arguments);
void reap(struct shim *shim);
void container_gone(struct shim *shim);
int watch_container(struct shim *shim, pid_t pid);
int send_signal(struct shim *shim, uint32_t target, int signal);
void forward_signal(struct shim *shim, int signal);
void set_oom_score(const char *score);

/* link.c: the connection to conmond */
void link_establish(struct shim *shim);
void link_lost(struct shim *shim);
void link_timeout(struct shim *shim);
void link_send(struct shim *shim, const void *message, size_t length, const int *fds, size_t fd_count);
void link_receive(struct shim *shim);
void tell_exited(struct shim *shim, enum role role);
long long now_ms(void);

/* requests.c: what conmond may ask for */
void handle_request(struct shim *shim, const unsigned char *message, size_t length, int *fds, size_t fd_count);

/* main.c */
void release(struct shim *shim, uint32_t flags);
void finish(struct shim *shim, int status) __attribute__((noreturn));

#endif

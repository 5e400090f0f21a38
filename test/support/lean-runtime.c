/*
 * An OCI runtime that does next to nothing, so that what is left of a session's
 * cost is its monitor's.
 *
 *     lean-runtime [OPTIONS] create|exec|restore --pid-file F [--console-socket S] ... ID
 *
 * The container process is a fork of it. Global options say what that does:
 *
 *     --say=TEXT      writes TEXT and a newline to stdout (default: nothing)
 *     --exit=STATUS   ends at once (default: waits for a signal to kill it)
 *     --fail=TEXT     is not made: TEXT on stderr, and status 1
 *     --cgroup=FILE   has been put into a cgroup by way of its cgroup.procs when this ends
 *
 * All other commands end with 0, all other options are ignored.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

struct orders {
	const char *pid_file, *console_socket, *say, *exit, *fail, *cgroup;
	bool makes_a_process;
};

static void check(bool fine, const char *what)
{
	if (fine)
		return;
	ssize_t ignored = write(STDERR_FILENO, what, strlen(what));
	(void)ignored;
	_exit(1);
}

/* Options are `--name=value`, or `--name value` where `split` allows it. */
static const char *value_of(char **at, const char *name, bool split)
{
	size_t length = strlen(name);

	if (strncmp(*at, name, length) != 0)
		return NULL;
	if ((*at)[length] == '=')
		return *at + length + 1;
	return split && (*at)[length] == '\0' ? at[1] : NULL;
}

static struct orders read_orders(char **at)
{
	struct orders orders = { 0 };

	for (; *at; at++) {
		const struct { const char *name; bool split; const char **into; } options[] = {
			{ "--pid-file", true, &orders.pid_file },
			{ "--console-socket", true, &orders.console_socket },
			{ "--say", false, &orders.say },
			{ "--exit", false, &orders.exit },
			{ "--fail", false, &orders.fail },
			{ "--cgroup", false, &orders.cgroup },
		};
		for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
			const char *value = value_of(at, options[i].name, options[i].split);
			if (value)
				*options[i].into = value;
		}
		if (strcmp(*at, "create") == 0 || strcmp(*at, "exec") == 0 || strcmp(*at, "restore") == 0)
			orders.makes_a_process = true;
	}
	return orders;
}

static void write_text(const char *path, int flags, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);

	check(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "cannot write a file\n");
	close(fd);
}

static void write_number(const char *path, int flags, unsigned number)
{
	char digits[12] = "";
	size_t at = sizeof digits - 1;

	do
		digits[--at] = (char)('0' + number % 10);
	while (number /= 10);
	write_text(path, flags, digits + at);
}

static void send_descriptor(int to, int fd)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	struct iovec data = { .iov_base = "terminal", .iov_len = 8 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof control };

	control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET,
					 .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
	check(sendmsg(to, &message, 0) == 8, "cannot send the terminal\n");
}

/* Makes a terminal, which becomes the stdio of this process, and hands its master over. */
static void set_up_terminal(const char *socket_path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	int to = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	check(master >= 0 && unlockpt(master) == 0, "cannot make a terminal\n");
	int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	check(slave >= 0 && strlen(socket_path) < sizeof address.sun_path, "cannot open the terminal\n");
	strcpy(address.sun_path, socket_path);
	check(connect(to, (struct sockaddr *)&address, sizeof address) == 0, "cannot connect to the console socket\n");
	send_descriptor(to, master);
	close(to);
	close(master);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(slave, fd);
	close(slave);
}

static void be_the_container(const struct orders *orders)
{
	setsid();
	if (orders->say) {
		/* One write: whoever reads between two of them finds an unfinished line. */
		const struct iovec line[] = { { (void *)orders->say, strlen(orders->say) }, { "\n", 1 } };
		ssize_t ignored = writev(STDOUT_FILENO, line, 2);
		(void)ignored;
	}
	if (orders->exit)
		_exit(atoi(orders->exit));
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	struct orders orders = read_orders(argv + (argc > 0));

	if (!orders.makes_a_process)
		return 0;
	check(orders.fail == NULL, orders.fail);
	check(orders.pid_file != NULL, "no --pid-file\n");
	if (orders.console_socket)
		set_up_terminal(orders.console_socket);
	pid_t pid = fork();
	check(pid >= 0, "cannot fork\n");
	if (pid == 0)
		be_the_container(&orders);
	if (orders.cgroup)
		write_number(orders.cgroup, 0, (unsigned)pid);
	write_number(orders.pid_file, O_CREAT | O_TRUNC, (unsigned)pid);
	_exit(0);
}

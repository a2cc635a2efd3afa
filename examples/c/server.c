/*
 * An ordinary server that takes its listening socket from whoever starts it, as systemd does it: descriptor 3, told by LISTEN_PID and LISTEN_FDS
 * (see sd_listen_fds(3)). A thread for each connection.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char name[64];

/* What this app calls itself: what the file VERSION beside it says, or else the release that Cutover names, as in v4. */
static void read_version(void)
{
	const char *release = getenv("CUTOVER_RELEASE");
	char version[32] = "0";
	FILE *file = fopen("VERSION", "r");
	if (file) {
		if (fscanf(file, "%31s", version) != 1)
			strcpy(version, "0");
		fclose(file);
	} else if (release) {
		snprintf(version, sizeof(version), "%s", release + (release[0] == 'v'));
	}
	snprintf(name, sizeof(name), "v%s", version);
}

/* One request, or 0 at the end of the connection. Whatever the client sends behind its head is not expected. */
static int read_head(int connection, char *head, size_t size)
{
	size_t length = 0;
	while (length + 1 < size) {
		ssize_t more = read(connection, head + length, size - 1 - length);
		if (more <= 0)
			return 0;
		length += more;
		head[length] = 0;
		if (strstr(head, "\r\n\r\n"))
			return 1;
	}
	return 0;
}

static void *serve(void *argument)
{
	int connection = (int)(long)argument;
	char head[8192], body[128], answer[512];
	while (read_head(connection, head, sizeof(head))) {
		const char *slow = strncmp(head, "GET /slow", 9) == 0 ? strstr(head, "ms=") : NULL;
		int closes = strcasestr(head, "\r\nconnection: close") != NULL;
		if (slow)
			usleep(atoi(slow + 3) * 1000);
		snprintf(body, sizeof(body), slow ? "%s slowly\n" : "%s pid %d\n", name, getpid());
		snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%s\r\n%s",
			 strlen(body), closes ? "Connection: close\r\n" : "", body);
		if (write(connection, answer, strlen(answer)) < 0 || closes)
			break;
	}
	close(connection);
	return NULL;
}

int main(void)
{
	const char *pid = getenv("LISTEN_PID");
	if (!pid || atoi(pid) != getpid()) {
		fprintf(stderr, "no listening socket was handed over\n");
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	read_version();
	for (;;) {
		int connection = accept(3, NULL, NULL);
		pthread_t thread;
		if (connection < 0)
			continue;
		if (pthread_create(&thread, NULL, serve, (void *)(long)connection) == 0)
			pthread_detach(thread);
		else
			close(connection);
	}
}

/* A small web server that says which pod answers: `hello PORT`.
 *
 *   GET /         a sentence; JSON when the client accepts it
 *   GET /healthz  ok
 *   GET /metrics  requests answered and time of start, for Prometheus
 *
 * It answers one client at a time, gives each two seconds, and finishes the present answer when told to end.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST = 8192, BODY = 2048, SECONDS = 2, WAITING = 128 };

static volatile sig_atomic_t ending;
static unsigned long requests;
static time_t started;

static void end(int number) {
    (void)number;
    ending = 1;
}

static const char *env(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : "unknown";
}

static int greet(char *body, int json) {
    const char *form = json ? "{\"app\":\"%s\",\"version\":\"%s\",\"project\":\"%s\",\"zone\":\"%s\",\"pod\":\"%s\",\"ip\":\"%s\"}\n"
                            : "hello from %s version %s, project %s, zone %s, pod %s (%s)\n";
    return snprintf(body, BODY, form, env("APP"), env("VERSION"), env("PROJECT"), env("ZONE"), env("POD"), env("POD_IP"));
}

static int metrics(char *body) {
    return snprintf(body, BODY,
                    "# HELP hello_requests_total Requests answered.\n# TYPE hello_requests_total counter\n"
                    "hello_requests_total %lu\n"
                    "# HELP hello_start_time_seconds Start of this process, Unix time.\n# TYPE hello_start_time_seconds gauge\n"
                    "hello_start_time_seconds %lld\n",
                    requests, (long long)started);
}

/* Read until the empty line that ends the headers; 0 when the client sends too much or nothing. */
static int receive(int client, char *request) {
    size_t length = 0;
    while (length < REQUEST - 1) {
        ssize_t got = recv(client, request + length, REQUEST - 1 - length, 0);
        if (got <= 0)
            return 0;
        length += (size_t)got;
        request[length] = '\0';
        if (strstr(request, "\r\n\r\n"))
            return 1;
    }
    return 0;
}

static void answer(int client) {
    char request[REQUEST], body[BODY], head[256];
    const char *status = "200 OK", *type = "text/plain";
    int length, json;
    if (!receive(client, request))
        return;
    json = strcasestr(request, "accept: application/json") != NULL;
    if (!strncmp(request, "GET / ", 6)) {
        length = greet(body, json);
        type = json ? "application/json" : type;
    } else if (!strncmp(request, "GET /healthz ", 13)) {
        length = snprintf(body, BODY, "ok\n");
    } else if (!strncmp(request, "GET /metrics ", 13)) {
        length = metrics(body);
        type = "text/plain; version=0.0.4";
    } else {
        status = "404 Not Found";
        length = snprintf(body, BODY, "there is /, /healthz and /metrics\n");
    }
    if (length >= BODY)
        length = BODY - 1;
    requests++;
    int size = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n",
                        status, type, length);
    if (send(client, head, (size_t)size, MSG_NOSIGNAL) == size)
        send(client, body, (size_t)length, MSG_NOSIGNAL);
    shutdown(client, SHUT_WR);
}

static int listen_on(const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, WAITING)) {
        perror("hello: cannot listen");
        exit(1);
    }
    return server;
}

int main(int count, char **arguments) {
    const struct sigaction action = {.sa_handler = end};
    const struct timeval patience = {.tv_sec = SECONDS};
    const char *port = count > 1 ? arguments[1] : "8080";
    struct pollfd server = {.fd = listen_on(port), .events = POLLIN};
    sigset_t blocked, open;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigprocmask(SIG_BLOCK, &blocked, &open); /* delivered only while it waits, so none is missed */
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    started = time(NULL);
    printf("hello %s listens on port %s\n", env("VERSION"), port);
    fflush(stdout);
    while (!ending) {
        int client = ppoll(&server, 1, NULL, &open) > 0 ? accept(server.fd, NULL, NULL) : -1;
        if (client < 0)
            continue;
        setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        answer(client);
        close(client);
    }
    printf("hello %s ends after %lu requests\n", env("VERSION"), requests);
    return 0;
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The maps that the programs share with one another and with the daemon, and what is in them. Pinned by name, so a change of any layout
 * here is a new layout version (src/strategies/steer/layout.ts). Nothing is described in BTF: the loader reads `struct map_definition`
 * from the section "maps".
 */
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define TCP 6
#define EEXIST 17
#define TCP_LISTEN 10

#define APPS 256         /* app 0 is nobody */
#define ALIVE 8          /* most releases of an app that live at one time */
#define LISTENERS 64     /* most listening sockets of a release on one port */
#define ROWS 128         /* most ports on which a release listens in its life, */
#define OWN_PLACES 1024  /* and most places that it takes: no app may use up what all have together */
#define PLACES 65536     /* all that 8 apps can take */
#define PORTS 16384
#define CONNECTIONS 16384

/* A release of an app in one number. Release 0 of an app is its park. */
static __always_inline __u32 release_key(__u32 app, __u32 release) { return app << 16 | release; }

/* IPv4 as ::ffff:a.b.c.d; network byte order. */
struct address {
	__u32 word[4];
};

/* Where a listening socket of a release stands. */
struct place {
	__u32 release;
	__u16 port;
	__u8 protocol;
	__u8 n; /* 0 to LISTENERS - 1 */
};

/* Who took a place last. It stays after the socket has closed, so that one that listens again finds its own place. */
struct owner {
	__u64 cookie;
	__u64 worker; /* id of the worker's cgroup */
	__u64 shares; /* 1: it asked for SO_REUSEPORT itself */
};

/*
 * Of a release and port: how many places were ever taken, and whose turn it is, for IPv4 and for IPv6. Where its listeners are not all bound
 * alike, not all of them fit a packet: then `rounds` says whose turn it is, for each address of its own.
 */
struct seats {
	__u32 high;
	__u32 turn[2];
	__u32 mixed;
	struct address address; /* of the listener that came first */
};

/* An address at which connections come to a release and port. */
struct round {
	struct place place; /* n = 0 */
	struct address to;
};

/*
 * Of a release and port: where it is to be reached, and where its clients may wait. Only the daemon writes it, so that all of it moves with
 * the app's word.
 */
struct site {
	struct address address; /* by the config: there and nowhere else, if `declared` */
	__u64 park;             /* a bit for each place of park that is in one group with a listener of this release: what waits there can be handed on */
	__u32 declared;
	__u32 unused;
};

/* Whose port it is. */
struct port {
	__u16 app;
	__u16 flags;
};
#define PORT_DECLARED 1 /* by the app's config; otherwise an app just listens there */

/* What decides where an app's new connections go. One map update changes all of it in one step. */
struct word {
	__u16 active;  /* release number, 0: none */
	__u16 standby; /* release number, 0: none */
	__u16 share;   /* kept for canaries */
	__u16 flags;
};
#define WORD_HOLD 1     /* what nothing can serve is parked */
#define WORD_FAILOVER 2 /* the standby serves what the active release cannot */

/* The releases of an app that live, dark ones included; 0: free. */
struct alive {
	__u16 release[ALIVE];
};

/* For how long an app's connections may be parked. A new epoch, and every deadline starts anew. */
struct hold {
	__u64 ns;
	__u64 epoch;
};

/* When the first connection of this epoch was parked at a place. */
struct stamp {
	__u64 epoch;
	__u64 since; /* boot-time clock, ns */
};

/* A connection as its receiver sees it. IPv4 as ::ffff:a.b.c.d, network byte order; ports in host byte order. */
struct connection {
	struct address remote;
	struct address local;
	__u16 remote_port;
	__u16 local_port;
	__u32 protocol;
};

/* The one release that a connection must reach. */
struct goal {
	__u32 release;
	__u32 counted; /* in OWN_CALLS */
};

/* The place that a connection was given at its SYN. */
struct given {
	__u32 release;
	__u32 n;
};

/* What the hooks on a release's cgroup have to know. */
struct self {
	__u32 release; /* release_key */
	__u32 app;
	__u64 netns;  /* cookie of the network namespace that is steered */
	__u64 cgroup; /* id of the release's cgroup */
	__u32 rows;   /* ports on which it ever listened, */
	__u32 places; /* and places that it ever took there; only the hooks write these two */
};

enum counter {
	NO_PLACE,    /* listeners left out: no place, or no room in a map */
	FOREIGN,     /* binds in another network namespace, left alone */
	OTHERS_PORT, /* binds of a port that belongs to another app, left alone */
	IN_USE,      /* second listeners of one worker: EADDRINUSE */
	SWALLOWED,   /* setsockopt calls that were answered without being done */
	MPTCP,       /* MPTCP sockets refused */
	DROPPED,     /* packets refused because only dark releases were there */
	PARKED,      /* connections parked */
	TOO_LATE,    /* packets refused because the hold was over */
	FAILED_OVER, /* connections given to the standby */
	MIGRATED,    /* waiting connections that got an heir */
	NO_HEIR,     /* waiting connections that got none */
	CLOSED_LATE, /* parked connections that the daemon closed; only it writes here */
	/* How many connections `who` holds at most: where it holds none nobody looks there. */
	OWN_CALLS, /* of releases to themselves; only the hooks write here */
	PROBES,    /* of the daemon to dark releases; only it writes here */
	COUNTERS = 64,
};

struct map_definition {
	__u32 type, key_size, value_size, max_entries, flags;
};

#define MAP(name, kind, key, value, max, options)                                                                     \
	struct map_definition name SEC("maps") = {                                                                     \
		.type = BPF_MAP_TYPE_##kind,                                                                           \
		.key_size = sizeof(key),                                                                               \
		.value_size = sizeof(value),                                                                           \
		.max_entries = max,                                                                                    \
		.flags = options,                                                                                      \
	}

MAP(places, SOCKHASH, struct place, __u64, PLACES, 0); /* -> socket; an entry goes when its socket closes */
MAP(owners, HASH, struct place, struct owner, PLACES, BPF_F_NO_PREALLOC);
MAP(seats, HASH, struct place, struct seats, PORTS, BPF_F_NO_PREALLOC); /* n = 0 */
MAP(sites, HASH, struct place, struct site, PORTS, BPF_F_NO_PREALLOC); /* n = 0 */
MAP(ports, HASH, __u32, struct port, PORTS, BPF_F_NO_PREALLOC);         /* protocol << 16 | port */
/* A preallocated hash, not an array: its update swaps the whole element, so no reader ever sees half a word, and it cannot fail. */
MAP(apps, HASH, __u32, struct word, APPS, 0);
MAP(alive, ARRAY, __u32, struct alive, APPS, 0);
MAP(holds, ARRAY, __u32, struct hold, APPS, 0);
MAP(stamps, HASH, struct place, struct stamp, PORTS, BPF_F_NO_PREALLOC); /* a place of park */
MAP(who, LRU_HASH, struct connection, struct goal, CONNECTIONS, 0);
MAP(turns, LRU_HASH, struct connection, struct given, CONNECTIONS, 0);
MAP(rounds, LRU_HASH, struct round, __u32, CONNECTIONS, 0);
MAP(binders, SK_STORAGE, __u32, struct owner, 0, BPF_F_NO_PREALLOC); /* of a socket between a shared bind and its listen; goes with it */
MAP(tallies, HASH, __u32, __u64, APPS *ALIVE * 2, BPF_F_NO_PREALLOC); /* release -> connections accepted */
MAP(handed, HASH, __u32, __u64, APPS *ALIVE * 2, BPF_F_NO_PREALLOC); /* release -> connections handed on from park; only the daemon writes it */
MAP(counters, ARRAY, __u32, __u64, COUNTERS, 0);
/* Of each release's cgroup, by its id; shared by all hooks (Linux 5.9). The kernel hands it to a program without a look-up. */
MAP(selves, CGROUP_STORAGE, __u64, struct self, 0, 0);
MAP(next, PROG_ARRAY, __u32, __u32, ALIVE + 2, 0); /* where the look-up program goes on: park, each living release, park again */

static __always_inline void add(__u32 which, __s64 much)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &which);
	if (value)
		__sync_fetch_and_add(value, much);
}

static __always_inline void count(__u32 which) { add(which, 1); }

/* The one release that this connection must reach, or NULL. Its bucket is in no cache: most connections are spared the look. */
static __always_inline struct goal *named(const struct connection *c)
{
	__u32 calling = OWN_CALLS, probing = PROBES;
	__u64 *calls = bpf_map_lookup_elem(&counters, &calling), *probes = bpf_map_lookup_elem(&counters, &probing);
	return calls && probes && (*calls | *probes) ? bpf_map_lookup_elem(&who, c) : NULL;
}

static __always_inline struct port *port_of(__u32 protocol, __u32 number)
{
	__u32 key = protocol << 16 | number;
	return bpf_map_lookup_elem(&ports, &key);
}

static __always_inline struct word word_of(__u32 app)
{
	struct word none = {};
	struct word *word = bpf_map_lookup_elem(&apps, &app);
	return word ? *word : none;
}

/*
 * Is place `n` of this row one that was ever taken? Read anew each time on purpose: a bound that the verifier remembers from one turn of
 * a loop to the next makes every turn look different to it, and the program too large.
 */
static __always_inline bool used(struct seats *row, __u32 n) { return n < *(volatile __u32 *)&row->high; }

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The program of every SO_REUSEPORT group that an app's sockets form with park. It names the heir of the connections that wait, handshake
 * done or half done, in a listener that closes; and it makes the same choice as the look-up program wherever the kernel asks the group
 * itself. See BPF_SK_REUSEPORT_SELECT_OR_MIGRATE in the kernel's commit d5e4ddaeb6ab (Linux 5.14).
 */
#include "address.h"

/* Chooses a listener of the release in this group (the kernel refuses sockets of another one), never the one that is closing. */
static __always_inline bool pick(struct sk_reuseport_md *ctx, __u32 release, __u16 port, __u64 closing)
{
	struct place place = { .release = release, .port = port, .protocol = TCP };
	struct seats *row = bpf_map_lookup_elem(&seats, &place);
	if (!row)
		return false;
	__u32 start = used(row, 1) ? __sync_fetch_and_add(&row->turn[0], 1) : 0;
	for (__u32 i = 0; i < LISTENERS && used(row, i); i++) {
		place.n = (start + i) % row->high;
		struct owner *owner = bpf_map_lookup_elem(&owners, &place);
		if (closing && owner && owner->cookie == closing)
			continue;
		if (!bpf_sk_select_reuseport(ctx, &places, &place, 0))
			return true;
	}
	return false;
}

/* The release that a waiting connection was made for, if it must reach exactly one; 0: any. */
static __always_inline __u32 only(struct bpf_sock *waiting)
{
	struct connection c = {
		.remote = ADDRESS(waiting->family, waiting->dst_ip4, waiting->dst_ip6),
		.local = ADDRESS(waiting->family, waiting->src_ip4, waiting->src_ip6),
		.remote_port = bpf_ntohs(waiting->dst_port),
		.local_port = waiting->src_port,
		.protocol = TCP,
	};
	struct goal *goal = named(&c);
	return goal ? goal->release : 0;
}

/* A probe that a crashed candidate leaves behind must not be answered by the active release: it would look healthy. So a goal excludes all else. */
static __always_inline bool choose(struct sk_reuseport_md *ctx, __u32 app, __u32 goal, __u16 port, __u64 closing)
{
	if (goal)
		return pick(ctx, goal, port, closing);
	struct word word = word_of(app);
	if (word.active && pick(ctx, release_key(app, word.active), port, closing))
		return true;
	if (word.flags & WORD_FAILOVER && word.standby && pick(ctx, release_key(app, word.standby), port, closing))
		return true;
	if (!(word.flags & WORD_HOLD) || !pick(ctx, release_key(app, 0), port, closing))
		return false;
	count(PARKED);
	return true;
}

SEC("sk_reuseport/migrate") int group(struct sk_reuseport_md *ctx)
{
	struct bpf_sock *listener = ctx->sk, *waiting = ctx->migrating_sk;
	if (!listener || ctx->ip_protocol != TCP)
		return SK_PASS;
	/* Of a handshake that ends after its listener was closed only the connection knows the port still. Without an answer the kernel chooses by hash. */
	__u16 number = READ(listener->src_port);
	if (waiting)
		number = READ(waiting->src_port);
	struct port *port = port_of(TCP, number);
	if (!port)
		return SK_PASS;
	__u64 closing = waiting ? bpf_get_socket_cookie(listener) : 0;
	bool found = choose(ctx, port->app, waiting ? only(waiting) : 0, number, closing);
	if (waiting)
		count(found ? MIGRATED : NO_HEIR);
	return found ? SK_PASS : SK_DROP;
}

char _license[] SEC("license") = "GPL";

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which socket gets a new connection: runs in the network namespace for every packet that meets no established connection. It speaks only
 * for ports in `ports`; for any other it returns SK_PASS, as if it were not there. What neither the active release nor its standby can take
 * goes on to nobody.bpf.c. See Documentation/bpf/prog_sk_lookup.rst (Linux 5.9).
 */
#include "choice.h"

/* Whose turn it is among the listeners of this row that fit the packet; `none` is 0. */
static __always_inline __u32 *turn_of(struct bpf_sk_lookup *ctx, struct seats *row, const struct round *key,
				      const __u32 *none)
{
	__u32 *turn = NULL;
	if (READ(row->mixed)) {
		turn = bpf_map_lookup_elem(&rounds, key);
		if (!turn && !bpf_map_update_elem(&rounds, key, none, BPF_NOEXIST))
			turn = bpf_map_lookup_elem(&rounds, key);
	}
	return turn ? turn : ctx->family == AF_INET ? &row->turn[0] : &row->turn[1];
}

/*
 * Gives the connection to a release, its listeners taking turns. The ACK of a SYN cookie gets the place that its SYN was given.
 *
 * To the verifier the loop has to look alike whichever way leads to it, or it follows the loop to its end once for each way: Linux 6.1 then
 * finds the program too large. Hence all that may lie on the stack lies there before the first branch, and no aim is a number that it knows.
 */
static __always_inline bool give(struct bpf_sk_lookup *ctx, struct connection *c, __u32 release, __u32 goal)
{
	struct place place = first_place(ctx, release);
	struct seats *row = bpf_map_lookup_elem(&seats, &place);
	if (!row)
		return false;
	struct aim aim = aim_for(&c->local, bpf_map_lookup_elem(&sites, &place), goal);
	__u32 unknown = READ(row->high) >> 31; /* 0 */
	aim.bound |= unknown;
	aim.declared |= unknown;
	if (!used(row, 1))
		return assign(ctx, &aim, &place);

	struct round key = { .place = place, .to = c->local };
	struct given now = { .release = release };
	__u32 none = 0;
	struct given *before = bpf_map_lookup_elem(&turns, c);
	if (before && before->release == release) {
		place.n = before->n;
		if (assign(ctx, &aim, &place))
			return true;
	}
	__u32 start = __sync_fetch_and_add(turn_of(ctx, row, &key, &none), 1);
	for (__u32 i = 0; i < LISTENERS && used(row, i); i++) {
		place.n = (start + i) % row->high;
		if (!assign(ctx, &aim, &place))
			continue;
		if (i) /* or whoever follows a place that is empty, or does not fit, would get its turns as well */
			__sync_fetch_and_add(turn_of(ctx, row, &key, &none), i);
		now.n = place.n;
		bpf_map_update_elem(&turns, c, &now, BPF_ANY);
		return true;
	}
	return false;
}

SEC("sk_lookup") int lookup(struct bpf_sk_lookup *ctx)
{
	struct port *port = port_of(ctx->protocol, ctx->local_port);
	if (!port)
		return SK_PASS;
	__u32 app = port->app;
	/* What is asked after the first release refused is read from memory then: the verifier does not know it any more, see above. */
	volatile struct word word = word_of(app);
	struct connection c = incoming(ctx);
	__u32 goal = goal_of(&c, app);
	volatile bool any = !goal;

	__u32 first = goal ? goal : word.active ? release_key(app, word.active) : 0;
	if (first && give(ctx, &c, first, goal))
		return SK_PASS;
	if (any && word.flags & WORD_FAILOVER && word.standby && give(ctx, &c, release_key(app, word.standby), 0)) {
		count(FAILED_OVER);
		return SK_PASS;
	}
	bpf_tail_call(ctx, &next, 0);
	return SK_DROP;
}

char _license[] SEC("license") = "GPL";

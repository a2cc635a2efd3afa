/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What becomes of a new connection that no release may serve: parked, refused, or left to the kernel because it is for an address that
 * the app does not listen at. lookup.bpf.c goes on here by a tail call. Loaded once for park and once for each release that may live, each
 * going on with the one after it: for the verifier all of them together are too much for one program.
 */
#include "choice.h"

const volatile struct {
	__u32 slot; /* 0: park; from 1 on: that one among the living releases */
} self;

/* Assigns the first socket of the release that could take the packet. Returns its number, LISTENERS if there is none. */
static __always_inline __u32 find(struct bpf_sk_lookup *ctx, const struct address *to, struct place *place)
{
	struct seats *row = bpf_map_lookup_elem(&seats, place);
	for (__u32 n = 0; row && n < LISTENERS && used(row, n); n++) {
		place->n = n;
		if (assign(ctx, to, place))
			return n;
	}
	return LISTENERS;
}

/* Whose listeners this program looks at; release 0 is park, and the key 0 is nobody. */
static __always_inline __u32 own_key(__u32 app)
{
	__u32 slot = self.slot;
	if (!slot)
		return release_key(app, 0);
	struct alive *all = bpf_map_lookup_elem(&alive, &app);
	if (!all || slot > ALIVE || !all->release[slot - 1])
		return 0;
	return release_key(app, all->release[slot - 1]);
}

static __always_inline int refuse(struct bpf_sk_lookup *ctx, __u32 why)
{
	bpf_sk_assign(ctx, NULL, BPF_SK_LOOKUP_F_REPLACE);
	count(why);
	return SK_DROP;
}

/* Is the hold at this place of park not over yet? The first connection parked there in an epoch starts its time. */
static __always_inline bool in_time(__u32 app, struct place *place)
{
	struct hold *hold = bpf_map_lookup_elem(&holds, &app);
	if (!hold || !hold->ns)
		return false;
	__u64 now = bpf_ktime_get_boot_ns();
	struct stamp *stamp = bpf_map_lookup_elem(&stamps, place);
	if (!stamp) {
		struct stamp first = { .epoch = hold->epoch, .since = now };
		bpf_map_update_elem(&stamps, place, &first, BPF_NOEXIST);
		return true;
	}
	if (stamp->epoch != hold->epoch) {
		stamp->since = now;
		stamp->epoch = hold->epoch;
		return true;
	}
	return now - stamp->since <= hold->ns;
}

SEC("sk_lookup") int nobody(struct bpf_sk_lookup *ctx)
{
	struct port *port = port_of(ctx->protocol, ctx->local_port);
	if (!port)
		return SK_PASS;
	__u32 app = port->app;
	struct connection c = incoming(ctx);

	__u32 key = own_key(app);
	struct place place = first_place(ctx, key);
	if (key && find(ctx, &c.local, &place) < LISTENERS) {
		if (self.slot || !(word_of(app).flags & WORD_HOLD) || goal_of(&c, app))
			return refuse(ctx, DROPPED); /* a bare SK_PASS would find a listener that is dark */
		if (!in_time(app, &place))
			return refuse(ctx, TOO_LATE);
		count(PARKED);
		return SK_PASS;
	}
	bpf_tail_call(ctx, &next, self.slot + 1);
	return SK_PASS; /* not an address of this app: somebody else's, or nobody's */
}

char _license[] SEC("license") = "GPL";

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What becomes of a new connection that no release may serve: parked, refused, or left to the kernel because it is for an address that
 * the app does not listen at. lookup.bpf.c goes on here by a tail call. Loaded several times, each going on with the one after it, since for
 * the verifier all of them together are too much for one program: once for park as the place to wait, once for each release that may live,
 * and once more for park.
 */
#include "choice.h"

const volatile struct {
	__u32 slot; /* 0: park, to wait there; 1 to ALIVE: that one among the living releases; above: park, as what is in the way */
} self;

/* Assigns the first socket that could take the packet, among those places of the release whose bit is set. */
static __always_inline bool find(struct bpf_sk_lookup *ctx, const struct aim *aim, struct place *place, __u64 among)
{
	struct seats *row = bpf_map_lookup_elem(&seats, place);
	for (__u32 n = 0; row && n < LISTENERS && used(row, n); n++, among >>= 1) {
		place->n = n;
		if (among & 1 && assign(ctx, aim, place))
			return true;
	}
	return false;
}

#define ALL (~0ULL)

/* Whose listeners this program looks at; release 0 is park, and the key 0 is nobody. */
static __always_inline __u32 own_key(__u32 app)
{
	__u32 slot = self.slot;
	if (!slot || slot > ALIVE)
		return release_key(app, 0);
	struct alive *all = bpf_map_lookup_elem(&alive, &app);
	if (!all || !all->release[slot - 1])
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

/*
 * Parks the connection where the active release can take it over: at an address where it is reached, in a group that it is in. A port that it
 * knows nothing of is one that only another release listens on.
 */
static __always_inline bool park(struct bpf_sk_lookup *ctx, const struct address *to, struct word word, struct place *place)
{
	__u32 app = place->release >> 16;
	struct place active = *place;
	active.release = release_key(app, word.active);
	struct site *site = word.active ? bpf_map_lookup_elem(&sites, &active) : NULL;
	struct aim aim = aim_for(to, site, 0);
	return find(ctx, &aim, place, site ? site->park : word.active ? 0 : ALL);
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
	if (self.slot) {
		struct aim aim = aim_at(&c.local);
		aim.declared = is_question(&c) & is_everywhere(&c.local);
		if (key && find(ctx, &aim, &place, ALL)) {
			if (is_question(&c))
				return SK_PASS;
			return refuse(ctx, DROPPED); /* a bare SK_PASS would find this listener, which is dark or park */
		}
	} else {
		struct word word = word_of(app);
		if (word.flags & WORD_HOLD && !is_question(&c) && !goal_of(&c, app) && park(ctx, &c.local, word, &place)) {
			if (!in_time(app, &place))
				return refuse(ctx, TOO_LATE);
			count(PARKED);
			return SK_PASS;
		}
	}
	bpf_tail_call(ctx, &next, self.slot + 1);
	return SK_PASS; /* not an address of this app: somebody else's, or nobody's */
}

char _license[] SEC("license") = "GPL";

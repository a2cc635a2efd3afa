/* SPDX-License-Identifier: GPL-2.0 */
/* What the two look-up programs have in common: whether a packet is for a socket, and giving it to that socket. */
#pragma once
#include "address.h"

static __always_inline struct connection incoming(struct bpf_sk_lookup *ctx)
{
	struct connection c = {
		.remote = ADDRESS(ctx->family, ctx->remote_ip4, ctx->remote_ip6),
		.local = ADDRESS(ctx->family, ctx->local_ip4, ctx->local_ip6),
		.remote_port = bpf_ntohs(ctx->remote_port),
		.local_port = ctx->local_port,
		.protocol = ctx->protocol,
	};
	return c;
}

/*
 * Is it no packet, but a hook of another home that asks who stands in the way of a socket of its own (`taken` in hooks.bpf.c)? It comes from
 * nowhere: no packet has such an address.
 */
static __always_inline __u32 is_question(const struct connection *c)
{
	return zero(c->remote_port) & is_everywhere(&c->remote);
}

/* The one release of the app that this connection must reach, as a key; 0: any. */
static __always_inline __u32 goal_of(const struct connection *c, __u32 app)
{
	struct goal *goal = named(c);
	return goal && goal->release >> 16 == app ? goal->release : 0;
}

/* Which sockets may have a packet: 0 or 1 each. */
struct aim {
	struct address to;
	__u32 bound;    /* those that were bound to its address */
	__u32 declared; /* all: the config says that the release is reached at this address */
};

static __always_inline struct aim aim_at(const struct address *to)
{
	struct aim aim = { .to = *to, .bound = 1 };
	return aim;
}

/* The same for a release with an address of its config. Whoever must reach exactly this release finds it where it listens, too. */
static __always_inline struct aim aim_for(const struct address *to, struct site *site, __u32 goal)
{
	struct aim aim = aim_at(to);
	if (site) {
		__u32 declared = 1 - zero(READ(site->declared));
		aim.bound = 1 - (declared & zero(goal));
		aim.declared = declared & covers(&site->address, to);
	}
	return aim;
}

/* May the socket have the packet? sk_lookup skips the kernel's own check of the address. A socket of the other family bpf_sk_assign refuses. */
static __always_inline __u32 fits(struct bpf_sk_lookup *ctx, const struct aim *aim, struct bpf_sock *sk)
{
	struct address bound = ADDRESS(sk->family, sk->src_ip4, sk->src_ip6);
	__u32 device = zero(sk->bound_dev_if) | zero(sk->bound_dev_if ^ ctx->ingress_ifindex);
	return device & (aim->declared | (aim->bound & covers(&bound, &aim->to)));
}

/* Assigns the socket in a place. Fails if the place is empty, the address another, or the socket listens no longer. */
static __always_inline bool assign(struct bpf_sk_lookup *ctx, const struct aim *aim, struct place *place)
{
	struct bpf_sock *sk = bpf_map_lookup_elem(&places, place);
	if (!sk)
		return false;
	long failed = 1;
	if (fits(ctx, aim, sk))
		failed = bpf_sk_assign(ctx, sk, BPF_SK_LOOKUP_F_NO_REUSEPORT); /* or the kernel would hash over the group */
	bpf_sk_release(sk);
	return !failed;
}

static __always_inline struct place first_place(struct bpf_sk_lookup *ctx, __u32 release)
{
	struct place place = { .release = release, .port = ctx->local_port, .protocol = ctx->protocol };
	return place;
}

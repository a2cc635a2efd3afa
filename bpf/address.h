/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Addresses in one form for both families: four words in network byte order, IPv4 as ::ffff:a.b.c.d. Written with bit operations instead of
 * branches: each branch inside a loop over listeners doubles what the verifier has to look at.
 */
#pragma once
#include "maps.h"

#define MAPPED bpf_htonl(0xffff)

/* 1 for 0, else 0. The compiler must not find out, or it makes a branch of it. */
static __always_inline __u32 zero(__u32 x)
{
	__u64 hidden = x;
	asm volatile("" : "+r"(hidden));
	return (hidden - 1) >> 63;
}

static __always_inline __u32 same(const struct address *a, const struct address *b)
{
	return zero((a->word[0] ^ b->word[0]) | (a->word[1] ^ b->word[1]) | (a->word[2] ^ b->word[2]) |
		    (a->word[3] ^ b->word[3]));
}

static __always_inline __u32 is_ip4(const struct address *a)
{
	return zero(a->word[0] | a->word[1] | (a->word[2] ^ MAPPED));
}

/* `::` */
static __always_inline __u32 is_any(const struct address *a)
{
	return zero(a->word[0] | a->word[1] | a->word[2] | a->word[3]);
}

/* `::` or `0.0.0.0` */
static __always_inline __u32 is_everywhere(const struct address *a)
{
	return is_any(a) | (is_ip4(a) & zero(a->word[3]));
}

/* Does a socket that is bound to `bound` take what comes for `to`? `::` takes IPv4 too, unless it is IPv6 only, which is not told here. */
static __always_inline __u32 covers(const struct address *bound, const struct address *to)
{
	return same(bound, to) | is_any(bound) | (is_ip4(bound) & zero(bound->word[3]) & is_ip4(to));
}

/* The verifier wants each field of a context read where it stands; without this the compiler chooses between two addresses and reads once. */
#define READ(field) (*(volatile __u32 *)&(field))

/* From the fields that each kind of context has: a family, one word of IPv4, four words of IPv6. */
#define ADDRESS(family, ip4, ip6)                                                                                      \
	make_address(READ(family), READ(ip4), READ((ip6)[0]), READ((ip6)[1]), READ((ip6)[2]), READ((ip6)[3]))

static __always_inline struct address make_address(__u32 family, __u32 ip4, __u32 a, __u32 b, __u32 c, __u32 d)
{
	__u32 four = zero(family ^ AF_INET), six = 1 - four;
	struct address made = { { a * six, b * six, c * six + MAPPED * four, d * six + ip4 * four } };
	return made;
}

/* The addresses that a bound socket takes. */
struct reach {
	struct address address;
	__u32 four, six; /* the families that it takes: 0 or 1 */
	__u32 device;    /* 0: any */
};

static __always_inline void reach_from(struct reach *reach, __u32 v6only, __u32 device)
{
	reach->six = is_ip4(&reach->address) ^ 1;
	reach->four = (reach->six ^ 1) | (is_any(&reach->address) & (v6only ^ 1));
	reach->device = device;
}

/* Would the kernel refuse one of two sockets that do not share their port? */
static __always_inline __u32 overlap(const struct reach *a, const struct reach *b)
{
	__u32 devices = zero(a->device) | zero(b->device) | zero(a->device ^ b->device);
	__u32 ip4 = zero(a->address.word[3]) | zero(b->address.word[3]) | zero(a->address.word[3] ^ b->address.word[3]);
	__u32 ip6 = is_any(&a->address) | is_any(&b->address) | same(&a->address, &b->address);
	return devices & ((a->four & b->four & ip4) | (a->six & b->six & ip6));
}

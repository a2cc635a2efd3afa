/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The hooks on a release's cgroup: how an app that knows nothing of Cutover shares its port and gets its place. They run for sockets that
 * were made inside the cgroup. Loaded once and attached to each release's cgroup, whose storage says which release that is.
 */
#include "address.h"

#define SOL_SOCKET 1
#define SO_REUSEADDR 2
#define SO_REUSEPORT 15
#define SO_ATTACH_REUSEPORT_CBPF 51
#define SO_ATTACH_REUSEPORT_EBPF 52
#define SO_DETACH_REUSEPORT_BPF 68
#define IPPROTO_MPTCP 262
#define EPROTONOSUPPORT 93
#define EADDRINUSE 98
#define ESTABLISHED 1

/* The release whose hooks run. Until the daemon has said which that is, all of it is 0, and nothing is of this network namespace. */
static __always_inline struct self *own(void) { return bpf_get_local_storage(&selves, 0); }

/* ---- bind: share the port ---- */

#define REFUSE 0
#define ALLOW 1
#define ALLOW_ANY_PORT 3 /* and no CAP_NET_BIND_SERVICE is needed */

/*
 * IPV6_V6ONLY, which no helper tells. It stands in the first bytes of struct sock_common, whose order has been the same since Linux 3.13:
 * two addresses, hash, two ports, family (u16), state (u8), and a byte of bits: reuse 4, reuseport 1, ipv6only 1.
 */
static __always_inline __u32 v6only(void *sk)
{
	__u8 head[20] = {};
	bpf_probe_read_kernel(head, sizeof(head), sk);
	return head[19] >> 5 & 1;
}

/* The cgroup of the worker that runs this: the one right below the release's, however deep the process may have gone. */
static __always_inline __u64 worker(void)
{
	const struct self *self = own();
	__u64 below = 0;
	for (int level = 15; level > 0; level--)
		if (bpf_get_current_ancestor_cgroup_id(level - 1) == self->cgroup)
			below = bpf_get_current_ancestor_cgroup_id(level);
	return below ? below : bpf_get_current_cgroup_id();
}

/*
 * Does this worker listen at an overlapping address already, so that without us it would get EADDRINUSE? The kernel lets two sockets share
 * that asked for it both; that we asked for them does not count.
 */
static __always_inline bool in_use(__u32 port, const struct reach *wanted, const struct owner *me)
{
	const struct self *self = own();
	struct place place = { .release = self->release, .port = port, .protocol = TCP };
	struct seats *row = bpf_map_lookup_elem(&seats, &place);
	if (!row)
		return false;
	for (__u32 n = 0; n < LISTENERS && used(row, n); n++) {
		place.n = n;
		struct owner *owner = bpf_map_lookup_elem(&owners, &place);
		if (!owner || owner->worker != me->worker)
			continue;
		__u32 alone = zero(owner->shares & me->shares);
		struct bpf_sock *sk = bpf_map_lookup_elem(&places, &place);
		if (!sk)
			continue;
		struct reach theirs = { .address = ADDRESS(sk->family, sk->src_ip4, sk->src_ip6) };
		reach_from(&theirs, v6only(sk), sk->bound_dev_if);
		__u32 clash = alone & zero(sk->state ^ TCP_LISTEN) & overlap(&theirs, wanted);
		bpf_sk_release(sk);
		if (clash)
			return true;
	}
	return false;
}

static __always_inline bool listens(struct bpf_sock_addr *ctx, struct bpf_sock_tuple *at, __u32 size)
{
	struct bpf_sock *sk = bpf_sk_lookup_tcp(ctx, at, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return false;
	bool found = sk->state == TCP_LISTEN;
	bpf_sk_release(sk);
	return found;
}

/* At the address that is wanted, but for its last word. */
static __always_inline bool listens_at(struct bpf_sock_addr *ctx, const struct reach *wanted, __u32 last4, __u32 last6)
{
	struct bpf_sock_tuple four = {}, six = {};
	four.ipv4.daddr = last4;
	four.ipv4.dport = ctx->user_port;
	for (int i = 0; i < 3; i++)
		six.ipv6.daddr[i] = wanted->address.word[i];
	six.ipv6.daddr[3] = last6;
	six.ipv6.dport = ctx->user_port;
	return (wanted->four && listens(ctx, &four, sizeof(four.ipv4))) ||
	       (wanted->six && listens(ctx, &six, sizeof(six.ipv6)));
}

/*
 * Does anybody stand in the way at this address? Asked about ports that no release of this home has: another Cutover's app shares its port
 * as ours do, so the kernel would let us in. Its look-up program knows such a question (is_question) and names whoever stands there, dark
 * or not. Anybody else who shares a port and listens everywhere is found at the loopback address too.
 */
static __always_inline bool taken(struct bpf_sock_addr *ctx, const struct reach *wanted)
{
	__u32 last = wanted->address.word[3];
	return listens_at(ctx, wanted, last, last) ||
	       (is_everywhere(&wanted->address) && listens_at(ctx, wanted, bpf_htonl(0x7f000001), bpf_htonl(1)));
}

static __always_inline int share(struct bpf_sock_addr *ctx, struct bpf_sock *sk, const struct reach *wanted)
{
	const struct self *self = own();
	__u32 number = bpf_ntohs(ctx->user_port);
	if (ctx->type != SOCK_STREAM || ctx->protocol != TCP || !number)
		return ALLOW;
	if (bpf_get_netns_cookie(ctx) != self->netns) {
		count(FOREIGN);
		return ALLOW;
	}
	struct port *port = port_of(TCP, number);
	if (port ? port->app != self->app : taken(ctx, wanted)) {
		count(OTHERS_PORT);
		return ALLOW;
	}
	int allowed = port && port->flags & PORT_DECLARED ? ALLOW_ANY_PORT : ALLOW;

	/* A second copy by accident, "taken, try the next", a port as a lock: these must get EADDRINUSE, as without us. */
	int asked = 0, one = 1;
	bpf_getsockopt(ctx, SOL_SOCKET, SO_REUSEPORT, &asked, sizeof(asked));
	struct owner me = { .cookie = bpf_get_socket_cookie(ctx), .worker = worker(), .shares = 1 - zero(asked) };
	if (in_use(number, wanted, &me)) {
		count(IN_USE);
		bpf_set_retval(-EADDRINUSE);
		return REFUSE;
	}
	/* SO_REUSEADDR: an open connection of another user's release must not stop a bind. */
	bpf_setsockopt(ctx, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	bpf_setsockopt(ctx, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	struct owner *binder = bpf_sk_storage_get(&binders, sk, &me, BPF_SK_STORAGE_GET_F_CREATE);
	if (binder)
		*binder = me; /* it may have tried another port before */
	else
		count(NO_PLACE);
	return allowed;
}

SEC("cgroup/bind4") int bind4(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	if (!sk)
		return ALLOW;
	struct reach wanted = { .address = { { 0, 0, MAPPED, ctx->user_ip4 } } };
	reach_from(&wanted, 0, sk->bound_dev_if);
	return share(ctx, sk, &wanted);
}

SEC("cgroup/bind6") int bind6(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	if (!sk)
		return ALLOW;
	struct reach wanted = {
		.address = { { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] } },
	};
	reach_from(&wanted, v6only(sk), sk->bound_dev_if);
	return share(ctx, sk, &wanted);
}

/* ---- listen: take a place ---- */

/*
 * Raises the number of places in use, unless the release has its share of them; several listeners may do so at once, and each may come to
 * one more.
 */
static __always_inline bool seat(struct bpf_sock_ops *ctx, struct bpf_sock *sk, struct place *place)
{
	struct self *self = own();
	struct place row_key = *place;
	row_key.n = 0;
	struct seats first = { .address = ADDRESS(ctx->family, ctx->local_ip4, ctx->local_ip6) };
	if (!bpf_map_update_elem(&seats, &row_key, &first, BPF_NOEXIST))
		__sync_fetch_and_add(&self->rows, 1);
	struct seats *row = bpf_map_lookup_elem(&seats, &row_key);
	if (!row)
		return false;
	if (!same(&first.address, &row->address) || sk->bound_dev_if)
		row->mixed = 1;
	__u32 mine = place->n + 1;
	for (int i = 0; i < LISTENERS; i++) {
		__u32 high = row->high;
		if (high >= mine)
			return true;
		if (self->places >= OWN_PLACES)
			return false;
		if (__sync_val_compare_and_swap(&row->high, high, mine) == high) {
			__sync_fetch_and_add(&self->places, mine - high);
			return true;
		}
	}
	return row->high >= mine;
}

/* A socket that listens again (after shutdown) is in the map still: it must not enter twice. Its place is known by its cookie. */
static __always_inline bool back(struct bpf_sock_ops *ctx, struct place *place, __u64 cookie)
{
	struct seats *row = bpf_map_lookup_elem(&seats, place);
	if (!row)
		return false;
	for (__u32 n = 0; n < LISTENERS && used(row, n); n++) {
		place->n = n;
		struct owner *owner = bpf_map_lookup_elem(&owners, place);
		if (!owner || owner->cookie != cookie)
			continue;
		long result = bpf_sock_hash_update(ctx, &places, place, BPF_NOEXIST);
		return !result || result == -EEXIST;
	}
	return false;
}

/* The lowest free place. BPF_NOEXIST makes the taking atomic, and never updates a place with the socket that is in it (Linux before 6.7
   corrupts itself then). */
static __always_inline bool take(struct bpf_sock_ops *ctx, struct bpf_sock *sk, struct place *place, const struct owner *me)
{
	for (__u32 n = 0; n < LISTENERS; n++) {
		place->n = n;
		long result = bpf_sock_hash_update(ctx, &places, place, BPF_NOEXIST);
		if (result == -EEXIST)
			continue;
		if (result)
			return false;
		if (!bpf_map_update_elem(&owners, place, me, BPF_ANY) && seat(ctx, sk, place))
			return true;
		bpf_map_delete_elem(&places, place);
		bpf_map_delete_elem(&owners, place);
		return false;
	}
	return false;
}

/* Has the release listened on this port before, or may it on one more? */
static __always_inline bool has_row(const struct self *self, const struct place *row)
{
	return self->rows < ROWS || bpf_map_lookup_elem(&seats, row);
}

static __always_inline bool own_port(__u32 number)
{
	const struct self *self = own();
	struct port *port = port_of(TCP, number);
	if (!port) {
		__u32 key = TCP << 16 | number;
		struct port new = { .app = self->app };
		bpf_map_update_elem(&ports, &key, &new, BPF_NOEXIST);
		port = bpf_map_lookup_elem(&ports, &key);
	}
	return port && port->app == self->app;
}

static __always_inline void enlist(struct bpf_sock_ops *ctx)
{
	const struct self *self = own();
	struct place place = { .release = self->release, .port = ctx->local_port, .protocol = TCP };
	struct bpf_sock *sk = ctx->sk;
	if (!sk)
		return;
	struct owner *bound = bpf_sk_storage_get(&binders, sk, NULL, 0);
	if (bound) {
		struct owner me = *bound;
		if (!has_row(self, &place) || !own_port(ctx->local_port) || !take(ctx, sk, &place, &me)) {
			count(NO_PLACE);
			return;
		}
		bpf_sk_storage_delete(&binders, sk);
	} else if (!back(ctx, &place, bpf_get_socket_cookie(ctx))) {
		return; /* a port that the kernel chose, another app's, or not of our network namespace */
	}
	__u32 app = self->app;
	struct word word = word_of(app);
	if (release_key(app, word.active) != self->release)
		return;
	struct hold *hold = bpf_map_lookup_elem(&holds, &app);
	if (hold)
		__sync_fetch_and_add(&hold->epoch, 1); /* the active release is back: the next hold is a new one */
}

/* ---- connections: counting them, and reaching oneself ---- */

/* What this socket sends, as the other end receives it. */
static __always_inline struct connection outgoing(struct bpf_sock_ops *ctx)
{
	struct connection c = {
		.remote = ADDRESS(ctx->family, ctx->local_ip4, ctx->local_ip6),
		.local = ADDRESS(ctx->family, ctx->remote_ip4, ctx->remote_ip6),
		.remote_port = ctx->local_port,
		.local_port = bpf_ntohl(ctx->remote_port),
		.protocol = TCP,
	};
	return c;
}

static __always_inline struct connection incoming(struct bpf_sock_ops *ctx)
{
	struct connection c = {
		.remote = ADDRESS(ctx->family, ctx->remote_ip4, ctx->remote_ip6),
		.local = ADDRESS(ctx->family, ctx->local_ip4, ctx->local_ip6),
		.remote_port = bpf_ntohl(ctx->remote_port),
		.local_port = ctx->local_port,
		.protocol = TCP,
	};
	return c;
}

/* The source port is chosen and the SYN not sent yet. Another app's port is called like anywhere else. */
static __always_inline void calls(struct bpf_sock_ops *ctx)
{
	const struct self *self = own();
	struct port *port = port_of(TCP, bpf_ntohl(ctx->remote_port));
	if (!port || port->app != self->app || bpf_get_netns_cookie(ctx) != self->netns)
		return;
	struct connection c = outgoing(ctx);
	struct goal goal = { .release = self->release, .counted = 1 };
	add(OWN_CALLS, 1);
	if (bpf_map_update_elem(&who, &c, &goal, BPF_ANY))
		add(OWN_CALLS, -1);
	else
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* The entry is needed until the connection leaves ESTABLISHED: the ACK of a SYN cookie is looked up again. */
static __always_inline void leaves(struct bpf_sock_ops *ctx)
{
	if (ctx->args[1] == ESTABLISHED || ctx->args[0] == TCP_LISTEN)
		return;
	struct connection c = outgoing(ctx);
	struct goal *goal = bpf_map_lookup_elem(&who, &c);
	/* Programs before these counted nothing. What the map dropped by itself stays counted: that costs a look, and nothing else. */
	bool counted = goal && goal->counted;
	if (!bpf_map_delete_elem(&who, &c) && counted)
		add(OWN_CALLS, -1);
}

static __always_inline void accepted(struct bpf_sock_ops *ctx)
{
	const struct self *self = own();
	struct port *port = port_of(TCP, ctx->local_port);
	if (!port || port->app != self->app)
		return;
	struct connection c = incoming(ctx);
	/* The next connection from there takes a turn of its own. One listener on each port takes none; of what the daemon entered nothing is known. */
	if (self->places != self->rows || !self->places)
		bpf_map_delete_elem(&turns, &c);
	if (named(&c))
		return; /* probes and own calls are not the public's */
	__u32 release = self->release;
	__u64 *tally = bpf_map_lookup_elem(&tallies, &release);
	if (tally)
		__sync_fetch_and_add(tally, 1);
}

SEC("sockops") int sock_ops(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		enlist(ctx);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		accepted(ctx);
		break;
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		calls(ctx);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		leaves(ctx);
		break;
	}
	return 1;
}

/* ---- what an app must not undo, and what it must not open ---- */

/* Would fail the app's own listen, or throw the group's program out: answered "done" (optlen -1) and not done. */
SEC("cgroup/setsockopt") int setsockopt(struct bpf_sockopt *ctx)
{
	const struct self *self = own();
	struct bpf_sock *sk = ctx->sk;
	if (ctx->level != SOL_SOCKET || !sk || sk->protocol != TCP)
		return ALLOW;
	int *value = ctx->optval;
	bool off = ctx->optname == SO_REUSEPORT && (void *)(value + 1) <= ctx->optval_end && !*value;
	bool program = ctx->optname == SO_ATTACH_REUSEPORT_CBPF || ctx->optname == SO_ATTACH_REUSEPORT_EBPF ||
		       ctx->optname == SO_DETACH_REUSEPORT_BPF;
	if ((off || program) && bpf_get_netns_cookie(ctx) == self->netns) {
		ctx->optlen = -1;
		count(SWALLOWED);
	}
	return ALLOW;
}

/* MPTCP listeners cannot enter the map. Programs that ask for it (Go 1.24 and later by default) fall back to TCP by themselves. */
SEC("cgroup/sock_create") int sock_create(struct bpf_sock *ctx)
{
	if (ctx->protocol != IPPROTO_MPTCP)
		return ALLOW;
	count(MPTCP);
	bpf_set_retval(-EPROTONOSUPPORT);
	return 0;
}

char _license[] SEC("license") = "GPL";

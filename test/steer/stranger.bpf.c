/* SPDX-License-Identifier: GPL-2.0 */
/* Somebody else's look-up program: gives the port PORT to the socket in its map, and leaves every other to others. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__u32 type, key_size, value_size, max_entries, flags;
} sockets SEC("maps") = { BPF_MAP_TYPE_SOCKMAP, sizeof(__u32), sizeof(__u64), 1, 0 };

SEC("sk_lookup") int stranger(struct bpf_sk_lookup *ctx)
{
	__u32 key = 0;
	if (ctx->local_port != PORT)
		return SK_PASS;
	struct bpf_sock *sk = bpf_map_lookup_elem(&sockets, &key);
	if (!sk)
		return SK_PASS;
	bpf_sk_assign(ctx, sk, 0);
	bpf_sk_release(sk);
	return SK_PASS;
}

char _license[] SEC("license") = "GPL";

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { takenFirst } from '../../src/core/nat.ts'

const taken = (rules: string, ...ports: number[]) => takenFirst(ports, rules).map(({ port }) => port)

test('a rule of nftables that sends a port elsewhere is found, with its words', () => {
  const rules = `table ip web {
	chain in {
		type nat hook prerouting priority dstnat; policy accept;
		iifname "eth0" tcp dport 80 counter packets 3 bytes 180 redirect to :3000
		tcp dport { 443, 8000-8100 } dnat to 10.0.0.2
		udp dport 53 redirect to :5353
	}
	chain out {
		type nat hook postrouting priority srcnat; policy accept;
		tcp dport 9000 masquerade
	}
}`
  assert.deepEqual(taken(rules, 80, 80, 443, 8050, 8101, 53, 9000), [80, 443, 8050])
  assert.equal(
    takenFirst([80], rules)[0]?.rule,
    'iifname "eth0" tcp dport 80 counter packets 3 bytes 180 redirect to :3000',
  )
})

test('a rule of iptables as well, those of Docker included', () => {
  const rules = `*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A PREROUTING -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 3000
-A PREROUTING -p tcp -m multiport --dports 80,443,8000:8003 -j DNAT --to-destination 10.0.0.2
-A PREROUTING -p udp -m udp --dport 53 -j REDIRECT --to-ports 5353
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 5432 -j DNAT --to-destination 172.17.0.2:5432
-A KUBE-SEP-1 -p tcp -m tcp -j DNAT --to-destination 10.1.0.7:9090
COMMIT`
  assert.deepEqual(taken(rules, 8080, 443, 8003, 8004, 53, 5432, 9090), [8080, 443, 8003, 5432])
})

test('a rule that names no port takes all of them where packets come in; one that leaves ports out, all others', () => {
  assert.deepEqual(taken('-A PREROUTING -i eth0 -j DNAT --to-destination 10.0.0.2', 80), [80])
  const chain = (rule: string) =>
    `chain c {\n type nat hook prerouting priority -100;\n ${rule}\n}\nchain d {\n dnat to 10.0.0.9\n}`
  assert.deepEqual(taken(chain('ip daddr 192.0.2.1 dnat to 10.0.0.2'), 80), [80])
  assert.deepEqual(taken(chain('counter accept'), 80), [])
  assert.deepEqual(taken(chain('tcp dport != 22 dnat to 10.0.0.2'), 22, 80), [80])
  assert.deepEqual(taken('-A PREROUTING -p tcp -m tcp ! --dport 22 -j REDIRECT --to-ports 1', 22, 80), [80])
  assert.deepEqual(taken(chain('tcp dport @web dnat to 10.0.0.2'), 80), [])
})

test('without rules, or without ports, nothing is taken', () => {
  assert.deepEqual(taken('', 80), [])
  assert.deepEqual(taken('-A PREROUTING -p tcp --dport 80 -j REDIRECT'), [])
})

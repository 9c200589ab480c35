#!/bin/sh
# namespaces.sh HALLD CONFIGURATION PORT: starts the agent in a network namespace of its own, beside it another one that is
# joined to it by a cable, and asks for the citizen's page from both. Prints one line for each attempt: who, what, curl's exit.
set -eu
halld=$1 configuration=$2 port=$3
ip link set lo up
"$halld" run --config "$configuration" >&2 &
agent=$!
unshare --net sleep 600 &
other=$!
trap 'kill $agent $other 2>/dev/null || true' EXIT
# The other namespace is there when its process has left this one.
while [ "$(readlink /proc/$other/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link add cable type veth peer name plug netns $other
ip address add 10.213.7.1/24 dev cable
ip link set cable up
nsenter --target $other --net ip link set lo up
nsenter --target $other --net ip address add 10.213.7.2/24 dev plug
nsenter --target $other --net ip link set plug up

ask() {
  who=$1 what=$2
  shift 2
  result=0
  "$@" curl --silent --output /dev/null --max-time 60 --write-out "$who $what %{http_code} " "http://$what:$port/" || result=$?
  echo "$result"
}
# The agent has begun to listen when its own loopback answers.
tries=0
while ! curl --silent --output /dev/null "http://127.0.0.1:$port/"; do
  tries=$((tries + 1))
  [ $tries -lt 600 ] || exit 1
  sleep 0.1
done
# The cable carries: a listener of the agent's namespace can be reached over it.
python3 -c 'import socket; s = socket.create_server(("10.213.7.1", 5999)); s.accept()[0].close()' &
sleep 0.2
tries=0
until nsenter --target $other --net python3 -c 'import socket; socket.create_connection(("10.213.7.1", 5999), 5)' 2>/dev/null; do
  tries=$((tries + 1))
  [ $tries -lt 600 ] || exit 1
  sleep 0.1
done
echo "cable carries"
ask own 127.0.0.1 env
ask own 10.213.7.1 env
ask other 10.213.7.1 nsenter --target $other --net
ask other 127.0.0.1 nsenter --target $other --net

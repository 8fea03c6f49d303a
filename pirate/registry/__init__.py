"""The door to where peers announce themselves: etcd, a fixed list, or memory."""

"""KuCoin on the wire: classic and unified API, spot and linear futures, on the shared matching core."""

// A chat server made of the centrifuge library, in memory, to stand beside chatd in one run.
//
//	centrifuge-peer ADDRESS
//
// The connect token is taken for the user, any channel may be subscribed to and published in, and
// nothing is stored: messages are gone when the process ends.
package main

import (
	"context"
	"log"
	"net/http"
	"os"

	"github.com/centrifugal/centrifuge"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: centrifuge-peer ADDRESS")
	}
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(ctx context.Context, e centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: e.Token}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(e centrifuge.SubscribeEvent, reply centrifuge.SubscribeCallback) {
			reply(centrifuge.SubscribeReply{}, nil)
		})
		client.OnPublish(func(e centrifuge.PublishEvent, reply centrifuge.PublishCallback) {
			reply(centrifuge.PublishReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	config := centrifuge.WebsocketConfig{CheckOrigin: func(*http.Request) bool { return true }}
	// It pings as it always does, but does not insist on the answers, which the load client,
	// made for pings of WebSocket, does not give.
	config.PongTimeout = -1
	http.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, config))
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}

// A plain hibernating object, to prove that the workerd of these tests really evicts idle objects in the time we wait.
export default {
  fetch: (request, env) => request.headers.get('Upgrade') === null ? new Response('here') : env.ROOM.get(env.ROOM.idFromName('one')).fetch(request),
};
export class Room {
  constructor(state) {
    this.state = state;
    this.life = crypto.randomUUID();
  }
  fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.state.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }
  webSocketMessage(socket) {
    socket.send(JSON.stringify({ type: 'life', life: this.life }));
  }
}

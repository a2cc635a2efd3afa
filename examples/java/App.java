import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

/** The JDK's own HTTP server, with a thread a request. It knows nothing of Cutover, and its port is hard-coded. */
public class App {
    private static final String NAME = System.getenv().getOrDefault("CUTOVER_RELEASE", "v0");

    public static void main(String[] arguments) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(8085), 0);
        server.createContext("/", exchange -> {
            boolean found = exchange.getRequestURI().getPath().equals("/");
            if (found) answer(exchange, 200, NAME + " pid " + ProcessHandle.current().pid() + "\n");
            else answer(exchange, 404, "no such page\n");
        });
        server.createContext("/slow", exchange -> {
            pause(parameter(exchange, "ms"));
            answer(exchange, 200, NAME + " slowly\n");
        });
        server.createContext("/stream", App::stream);
        server.setExecutor(Executors.newCachedThreadPool());
        server.start();
    }

    private static void answer(HttpExchange exchange, int status, String text) throws IOException {
        byte[] body = text.getBytes();
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    /** Numbered events until the client leaves. */
    private static void stream(HttpExchange exchange) throws IOException {
        long every = parameter(exchange, "every");
        exchange.getResponseHeaders().set("Content-Type", "text/event-stream");
        exchange.sendResponseHeaders(200, 0);
        for (long count = 1; ; count++) {
            exchange.getResponseBody().write(("data: " + NAME + " " + count + "\n\n").getBytes());
            exchange.getResponseBody().flush();
            pause(every);
        }
    }

    private static long parameter(HttpExchange exchange, String name) {
        String query = exchange.getRequestURI().getQuery();
        boolean given = query != null && query.startsWith(name + "=");
        return given ? Long.parseLong(query.substring(name.length() + 1)) : 1000;
    }

    private static void pause(long ms) throws IOException {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException interrupted) {
            throw new IOException(interrupted);
        }
    }
}

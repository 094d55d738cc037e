// java Verify.java SERVICE ID_NUMBER      needs Java 11 or newer; nothing to install
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

public class Verify {
    static final List<String> WAITING = List.of("new", "waiting", "hub_away", "clock_wrong");

    public static void main(String[] arguments) throws Exception {
        String gateway = System.getenv().getOrDefault("GATEWAY", "http://127.0.0.1:8899");
        String token = Files.readString(Path.of(System.getenv().getOrDefault("TOKEN_FILE", "local.token"))).trim();
        String form = "service=" + encode(arguments[0]) + "&id_no=" + encode(arguments[1])
            + "&reference=java-" + System.currentTimeMillis(); // the same reference is the same request
        HttpClient client = HttpClient.newHttpClient();
        for (int tries = 0; tries < 30; tries++) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(gateway + "/verify"))
                .header("Authorization", "Bearer " + token)
                .header("Accept", "text/plain")
                .header("Content-Type", "application/x-www-form-urlencoded")
                .POST(HttpRequest.BodyPublishers.ofString(form))
                .build();
            String body = client.send(request, HttpResponse.BodyHandlers.ofString(StandardCharsets.UTF_8)).body();
            Map<String, String> said = new LinkedHashMap<>();
            body.lines().filter(line -> line.contains("="))
                .forEach(line -> said.put(line.substring(0, line.indexOf('=')), line.substring(line.indexOf('=') + 1)));
            if (!WAITING.contains(said.get("state"))) {
                said.forEach((name, value) -> System.out.println(name + "=" + value));
                System.exit("verified".equals(said.get("state")) ? 0 : 1);
            }
            Thread.sleep(1000);
        }
        System.exit(3);
    }

    static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }
}

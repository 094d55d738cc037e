// dotnet run -- SERVICE ID_NUMBER      .NET 6 or newer, top-level program, nothing to install
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Net.Http;
using System.Threading.Tasks;

var gateway = Environment.GetEnvironmentVariable("GATEWAY") ?? "http://127.0.0.1:8899";
var token = File.ReadAllText(Environment.GetEnvironmentVariable("TOKEN_FILE") ?? "local.token").Trim();
var waiting = new[] { "new", "waiting", "hub_away", "clock_wrong" };
var form = new Dictionary<string, string>
{
    ["service"] = args[0],
    ["id_no"] = args[1],
    ["reference"] = $"cs-{DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()}", // the same reference is the same request
};
using var client = new HttpClient();
for (var tries = 0; tries < 30; tries++)
{
    using var request = new HttpRequestMessage(HttpMethod.Post, $"{gateway}/verify") { Content = new FormUrlEncodedContent(form) };
    request.Headers.TryAddWithoutValidation("Authorization", $"Bearer {token}");
    request.Headers.TryAddWithoutValidation("Accept", "text/plain");
    using var answer = await client.SendAsync(request);
    var body = await answer.Content.ReadAsStringAsync();
    var state = body.Split('\n').FirstOrDefault(line => line.StartsWith("state="))?.Substring(6) ?? "";
    if (!waiting.Contains(state))
    {
        Console.Write(body);
        return state == "verified" ? 0 : 1;
    }
    await Task.Delay(1000);
}
return 3;

// 旧系统经网关核验一个人：C# 7，Mono 或 .NET 都能编译，不装任何包。 C# 7, for Mono or .NET; nothing to install.
//   Mono:  mcs -r:System.Net.Http.dll Verify.cs && mono Verify.exe SERVICE ID_NUMBER
//   .NET:  dotnet new console -o verify && cp Verify.cs verify/Program.cs && dotnet run --project verify -- SERVICE ID_NUMBER
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Net.Http;
using System.Text;
using System.Threading.Tasks;

static class Verify
{
    static readonly string[] Waiting = { "new", "waiting", "hub_away", "clock_wrong" };

    static int Main(string[] args)
    {
        return Ask(args).GetAwaiter().GetResult();
    }

    static async Task<int> Ask(string[] args)
    {
        if (args.Length < 2)
        {
            Console.Error.WriteLine("usage: verify SERVICE ID_NUMBER");
            return 2;
        }
        Console.OutputEncoding = new UTF8Encoding(false);
        var gateway = Environment.GetEnvironmentVariable("GATEWAY") ?? "http://127.0.0.1:8899";
        var token = File.ReadAllText(Environment.GetEnvironmentVariable("TOKEN_FILE") ?? "local.token").Trim();
        var form = new Dictionary<string, string>
        {
            ["service"] = args[0],
            ["id_no"] = args[1], // in the body: never in the address, where logs would keep it
            ["reference"] = "cs-" + DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), // the same reference is the same request
        };
        using (var client = new HttpClient())
        {
            for (var tries = 0; tries < 30; tries++)
            {
                using (var request = new HttpRequestMessage(HttpMethod.Post, gateway + "/verify"))
                {
                    request.Content = new FormUrlEncodedContent(form);
                    request.Headers.TryAddWithoutValidation("Authorization", "Bearer " + token);
                    request.Headers.TryAddWithoutValidation("Accept", "text/plain");
                    using (var answer = await client.SendAsync(request))
                    {
                        var body = Encoding.UTF8.GetString(await answer.Content.ReadAsByteArrayAsync());
                        var line = body.Split('\n').FirstOrDefault(one => one.StartsWith("state="));
                        var state = line == null ? "" : line.Substring("state=".Length).Trim();
                        if (!Waiting.Contains(state))
                        {
                            Console.Write(body);
                            return state == "verified" ? 0 : 1;
                        }
                    }
                }
                await Task.Delay(1000);
            }
        }
        return 3;
    }
}

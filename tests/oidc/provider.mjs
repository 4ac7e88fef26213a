// An OpenID Connect server for one test. It prints its issuer, then logs in whoever `PUT /person` has named last:
// {"sub": "…", "preferred_username": "…", "groups": ["…"], …}; `null` refuses the sign-in as a person would.
import http from 'node:http';
import { Provider } from 'oidc-provider';

const [callback, port] = process.argv.slice(2);
let person = null;
const persons = new Map();

const server = http.createServer();
server.listen(Number(port), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: 'jobs', client_secret: 'only for tests', redirect_uris: [callback] }],
    claims: { email: ['email', 'email_verified'], profile: ['name', 'preferred_username', 'groups', 'realm_access'] },
    cookies: { keys: ['only for tests'] },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (ctx, sub) => ({ accountId: sub, claims: () => persons.get(sub) }),
    pkce: { required: () => true },
  });
  const protocol = provider.callback();
  server.on('request', async (request, response) => {
    try {
      if (request.method === 'PUT' && request.url === '/person') {
        let body = '';
        for await (const part of request) body += part;
        person = JSON.parse(body);
        if (person) persons.set(person.sub, person);
        response.end();
      } else if (request.url.startsWith('/interaction/')) {
        await provider.interactionFinished(request, response, await decide(provider, request, response));
      } else {
        protocol(request, response);
      }
    } catch (error) {
      response.statusCode = 500;
      response.end(String(error));
    }
  });
  console.log(issuer);
});

async function decide(provider, request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (!person) return { error: 'access_denied' };
  if (prompt.name === 'login') return { login: { accountId: person.sub, remember: false } };
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope('openid profile email');
  return { consent: { grantId: await grant.save() } };
}
